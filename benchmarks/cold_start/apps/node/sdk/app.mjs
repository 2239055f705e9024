// Fetches three secrets with AWS's SDK while it is imported, as people write it.
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';

const client = new SecretsManagerClient();
const answers = await Promise.all(
  ['s0', 's1', 's2'].map((name) =>
    client.send(new GetSecretValueCommand({ SecretId: `bench/${name}` })),
  ),
);
const secrets = answers.map((answer) => answer.SecretString);

export const handler = async () => secrets.join('').length;
