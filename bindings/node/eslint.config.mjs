import js from '@eslint/js';

export default [
  { ignores: ['dist/'] },
  js.configs.recommended,
  { rules: { 'no-undef': 'off' } }, // tsc tells, and knows Node's globals
  { files: ['**/*.js'], languageOptions: { sourceType: 'commonjs' } },
];
