// Does with keystart/testing what each line of its input says. Its first answer is the root of the store.
import { createInterface } from 'node:readline';
import testing from '../../../bindings/node/src/testing.js';

const read = (value) => (value?.base64 === undefined ? value : Buffer.from(value.base64, 'base64'));
const store = testing.store();
console.log(JSON.stringify(store.root));
for await (const line of createInterface({ input: process.stdin })) {
  const [step, ...given] = JSON.parse(line);
  if (step === 'publish') {
    const [secrets, unavailable] = given;
    const values = Object.entries(secrets).map(([name, value]) => [name, read(value)]);
    console.log(store.publish(Object.fromEntries(values), { unavailable }));
  } else {
    store[step](...given);
    console.log('null');
  }
}
store.close();
