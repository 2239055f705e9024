// What only some callers need: it talks to the writer, reads freshness.json, or is about TLS. dist/ has
// it in a second file, which the first such call loads.
import { Age } from './age.mjs';
import { attempt } from './attempt.mjs';
import { readCheck } from './freshness.mjs';
import { refresh } from './refresh.mjs';
import { tlsOptions } from './tls.mjs';

const onDemand = { Age, attempt, readCheck, refresh, tlsOptions };

export { onDemand };
