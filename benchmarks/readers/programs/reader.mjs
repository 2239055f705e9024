// Times for `import` what reader.cjs times for `require`: the modes `keystart ROOT OTHER` and `empty`.
const now = () => Number(process.hrtime.bigint());
now();

const [mode, root, other] = process.argv.slice(2);
const start = now();
const { Keystart } = await import(mode);
const times = { load: now() - start };
if (mode === 'keystart') {
  const loaded = now();
  new Keystart({ root }).get('stripe/key');
  const read = now();
  new Keystart({ root: other }).get('stripe/key');
  Object.assign(times, { first: read - loaded, first_other: now() - read });
}
console.log(JSON.stringify(times));
