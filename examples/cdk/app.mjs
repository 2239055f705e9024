// cdk deploy -c keystartLayer=arn:aws:lambda:REGION:ACCOUNT:layer:keystart:VERSION
import { fileURLToPath } from 'node:url';
import { App, ArnFormat, Duration, Stack } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Architecture, Code, Function, LayerVersion, Runtime } from 'aws-cdk-lib/aws-lambda';

const app = new App();
const layerArn = app.node.tryGetContext('keystartLayer');
if (layerArn === undefined) throw new Error('Say which layer: -c keystartLayer=ARN');

const stack = new Stack(app, 'Webhook');
const name = 'prod/webhook-key';
const secrets = {
  'webhook/key': name,
  'webhook/previous-key': { secret: name, stage: 'AWSPREVIOUS', optional: true },
};
const handler = new Function(stack, 'Function', {
  code: Code.fromAsset(fileURLToPath(new URL('../node', import.meta.url))),
  handler: 'app.handler',
  runtime: Runtime.NODEJS_22_X,
  architecture: Architecture.X86_64, // the layer's
  memorySize: 128,
  timeout: Duration.seconds(10),
  layers: [LayerVersion.fromLayerVersionArn(stack, 'Keystart', layerArn)],
  environment: { KEYSTART_SECRETS: JSON.stringify(secrets) },
});
// Secret.grantRead would allow DescribeSecret too, which nothing asks for. Six ? stand for what Secrets Manager puts
// behind the name.
const resource = stack.formatArn({
  service: 'secretsmanager',
  resource: 'secret',
  resourceName: `${name}-??????`,
  arnFormat: ArnFormat.COLON_RESOURCE_NAME,
});
handler.addToRolePolicy(new PolicyStatement({ actions: ['secretsmanager:GetSecretValue'], resources: [resource] }));

app.synth();
