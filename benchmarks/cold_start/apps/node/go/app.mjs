// Reads three secrets while it is imported, from the files of the Go extension.
import { readFileSync } from 'node:fs';

const secrets = ['s0', 's1', 's2'].map((name) => readFileSync(`/tmp/secrets/${name}`, 'utf8'));

export const handler = async () => secrets.join('').length;
