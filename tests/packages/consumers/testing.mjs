// A bundled test: publishes the value of a variable, reads it, and prints whether the store
// existed, and still does.
import fs from 'node:fs';
import { get } from 'keystart';
import testing from 'keystart/testing';

const store = testing.store({ db: process.env.VALUE });
console.log(get('db'), fs.existsSync(store.root));
store.close();
console.log(fs.existsSync(store.root));
