// What a bundled test does: publishes the value of a variable, reads it, and says whether the store was there, and still is.
import fs from 'node:fs';
import { get } from 'keystart';
import testing from 'keystart/testing';

const store = testing.store({ db: process.env.VALUE });
console.log(get('db'), fs.existsSync(store.root));
store.close();
console.log(fs.existsSync(store.root));
