import js from '@eslint/js';

export default [
  js.configs.recommended,
  { rules: { 'no-undef': 'off' } }, // tsc tells, and knows Node's globals
  { files: ['**/*.js'], languageOptions: { sourceType: 'commonjs' } },
];
