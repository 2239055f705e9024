// What only some callers need: waiting for the writer, talking to it, saying what is missing, reading freshness.json,
// and TLS. dist/ has it in a separate file, which the first such call loads.
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
