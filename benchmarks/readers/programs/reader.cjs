// Times reads inside a Node process, as reader.py does in Python and with its modes. Two more modes
// show what Node itself needs: `empty` loads an empty package, and `calls ROOT` makes only the
// calls of Node that a read makes.
'use strict';

const fs = require('node:fs');

const now = () => Number(process.hrtime.bigint());
now();

function firstReads(root, other) {
  const start = now();
  const { Keystart } = require('keystart');
  const loaded = now();
  new Keystart({ root }).get('stripe/key');
  const read = now();
  new Keystart({ root: other }).get('stripe/key');
  return { load: loaded - start, first: read - loaded, first_other: now() - read };
}

function loadEmpty() {
  const start = now();
  require('empty');
  return { load: now() - start };
}

function firstCalls(root) {
  const start = now();
  const { O_NOFOLLOW, O_NONBLOCK } = fs.constants;
  const folder = `${root}/${fs.readlinkSync(`${root}/current`)}`;
  fs.lstatSync(root);
  for (const file of [`${folder}/manifest.json`, `${folder}/secrets/stripe/key`]) {
    fs.realpathSync.native(file);
    fs.lstatSync(file);
    fs.readFileSync(file, { encoding: 'utf8', flag: O_NOFOLLOW | O_NONBLOCK });
    fs.realpathSync.native(folder);
  }
  return { first: now() - start };
}

function firstFile(path) {
  const start = now();
  fs.readFileSync(path, 'utf8');
  return { first: now() - start };
}

async function firstRequest(url) {
  const start = now();
  const http = require('node:http');
  const loaded = now();
  await request(http, new http.Agent(), url);
  return { load: loaded - start, first: now() - loaded };
}

function request(http, agent, url) {
  return new Promise((resolve, reject) => {
    const asked = http.get(url, { agent }, (answer) => {
      let body = '';
      answer.setEncoding('utf8');
      answer.on('data', (piece) => (body += piece));
      answer.on('end', () => resolve(JSON.parse(body)));
    });
    asked.on('error', reject);
  });
}

async function warm(root, path, url, loops) {
  const { Keystart } = require('keystart');
  const http = require('node:http');
  const client = new Keystart({ root });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const calls = {
    get: () => client.get('stripe/key'),
    get_bytes: () => client.getBytes('stripe/key'),
    get_json: () => client.getJson('db'),
    names: () => client.names(),
    snapshot: () => client.snapshot(),
    path: () => client.path('db'),
    file: () => fs.readFileSync(path),
    file_json: () => JSON.parse(fs.readFileSync(path, 'utf8')),
  };
  const times = {};
  for (const [name, call] of Object.entries(calls)) {
    times[name] = [];
    for (let batch = 0; batch < 21; batch++) {
      const start = now();
      for (let loop = 0; loop < loops; loop++) call();
      times[name].push((now() - start) / loops);
    }
  }
  times.http = [];
  const requests = Math.max(Math.floor(loops / 10), 10);
  for (let batch = 0; batch < 21; batch++) {
    const start = now();
    for (let loop = 0; loop < requests; loop++) await request(http, agent, url);
    times.http.push((now() - start) / requests);
  }
  agent.destroy();
  for (const batches of Object.values(times)) batches.shift(); // the first batch warms up
  return times;
}

const MODES = {
  keystart: firstReads,
  empty: loadEmpty,
  calls: firstCalls,
  file: firstFile,
  http: firstRequest,
  warm,
};

async function main([mode, ...given]) {
  console.log(JSON.stringify(await MODES[mode](...given)));
}

main(process.argv.slice(2));
