// Runs a Node function against Lambda's Runtime API: bootstrap.mjs FILE.METHOD. It needs no
// compiler, and has none of the extras of AWS's client (aws-lambda-ric): no log formatting, no
// tracing, no streaming.
import { existsSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const ROOT = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime`;
const SUFFIXES = ['.mjs', '.js', '.cjs'];
// One connection for as long as both sides live: the next event may be hours away.
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

/** Sends one request and returns its answer. Any status except the expected one is an error. */
function call(method, path, expected, body, headers = {}) {
  const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const sent = request(
      `${ROOT}/${path}`,
      { agent, method, headers: { ...headers, ...length } },
      (answer) => {
        const chunks = [];
        answer.on('error', reject);
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          if (answer.statusCode === expected) resolve({ headers: answer.headers, text });
          else reject(new Error(`Runtime API: ${answer.statusCode} ${text}`));
        });
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

function report(path, thrown) {
  console.error(thrown);
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const stack = (error.stack ?? '').split('\n').slice(1);
  const body = JSON.stringify({ errorType: error.name, errorMessage: error.message, trace: stack });
  return call('POST', path, 202, body, { 'Lambda-Runtime-Function-Error-Type': error.name });
}

/** Imports FILE from the task root, and returns its export METHOD. */
async function loadHandler(name) {
  const dot = name.indexOf('.', name.lastIndexOf('/') + 1);
  if (dot < 0) throw new Error(`handler ${JSON.stringify(name)} is not FILE.METHOD`);
  const file = join(process.env.LAMBDA_TASK_ROOT, name.slice(0, dot));
  const suffix = SUFFIXES.find((candidate) => existsSync(file + candidate));
  if (suffix === undefined)
    throw new Error(`there is no ${file} with one of ${SUFFIXES.join(', ')}`);
  const exported = await import(pathToFileURL(file + suffix));
  const method = name.slice(dot + 1);
  const handler = exported[method] ?? exported.default?.[method];
  if (typeof handler !== 'function')
    throw new Error(`${file}${suffix} exports no function ${method}`);
  return handler;
}

function context(headers) {
  return {
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    getRemainingTimeInMillis: () =>
      Math.max(Number(headers['lambda-runtime-deadline-ms']) - Date.now(), 0),
  };
}

let handler;
try {
  handler = await loadHandler(process.argv[2]);
} catch (error) {
  await report('init/error', error);
  process.exit(1);
}

for (;;) {
  const invocation = await call('GET', 'invocation/next', 200);
  const path = `invocation/${invocation.headers['lambda-runtime-aws-request-id']}`;
  let answer;
  try {
    answer =
      JSON.stringify(await handler(JSON.parse(invocation.text), context(invocation.headers))) ??
      'null';
  } catch (error) {
    await report(`${path}/error`, error);
    continue;
  }
  await call('POST', `${path}/response`, 202, answer);
}
