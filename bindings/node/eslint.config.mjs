import js from '@eslint/js';

export default [
  { ignores: ['dist/'] },
  js.configs.recommended,
  { rules: { 'no-undef': 'off' } }, // tsc reports it, and knows Node's globals
  { files: ['**/*.js'], languageOptions: { sourceType: 'commonjs' } },
];
