// What only some callers need: it waits for the writer or talks to it, says what is missing, reads freshness.json, or is
// about TLS. dist/ has
// it in a second file, which the first such call loads.
import { Age } from './age.mjs';
import { attempt } from './attempt.mjs';
import { readInfo } from './freshness.mjs';
import { missing } from './missing.mjs';
import { Patience } from './patience.mjs';
import { refresh } from './refresh.mjs';
import { readState, waitForWriter } from './state.mjs';
import { tlsOptions } from './tls.mjs';

const onDemand = {
  Age,
  Patience,
  attempt,
  missing,
  readInfo,
  readState,
  refresh,
  tlsOptions,
  waitForWriter,
};

export { onDemand };
