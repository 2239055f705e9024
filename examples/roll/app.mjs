// cdk deploy -c secrets='prod/*' [-c parameters='prod/*']
import { fileURLToPath } from 'node:url';
import { App, Stack } from 'aws-cdk-lib';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';

const app = new App();
const secrets = app.node.tryGetContext('secrets');
if (secrets === undefined) throw new Error("Say which secrets: -c secrets='prod/*'");

const stack = new Stack(app, 'Roll');
new CfnInclude(stack, 'Template', {
  templateFile: fileURLToPath(new URL('template.yaml', import.meta.url)),
  parameters: { Secrets: secrets, Parameters: app.node.tryGetContext('parameters') ?? '' },
});

app.synth();
