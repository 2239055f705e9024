// Reads three secrets while it is imported.
import keystart from 'keystart';

const secrets = ['s0', 's1', 's2'].map((name) => keystart.get(name));

export const handler = async () => secrets.join('').length;
