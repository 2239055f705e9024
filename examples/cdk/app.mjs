// cdk deploy -c keystartLayer=arn:aws:lambda:REGION:ACCOUNT:layer:keystart-x86_64:VERSION
import { fileURLToPath } from 'node:url';
import { App, ArnFormat, Duration, Stack } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Architecture, Code, Function, LayerVersion, Runtime } from 'aws-cdk-lib/aws-lambda';

const app = new App();
const layerArn = app.node.tryGetContext('keystartLayer');
if (layerArn === undefined) throw new Error('Say which layer: -c keystartLayer=ARN');

const stack = new Stack(app, 'Webhook');
const key = 'prod/webhook-key';
const limits = '/prod/webhook-limits';
const secrets = {
  'webhook/key': key,
  'webhook/previous-key': { secret: key, stage: 'AWSPREVIOUS', optional: true },
  'webhook/limits': { parameter: limits },
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
allow('secretsmanager:GetSecretValue', {
  service: 'secretsmanager',
  resource: 'secret',
  resourceName: `${key}-??????`,
  arnFormat: ArnFormat.COLON_RESOURCE_NAME,
});
allow('ssm:GetParameters', {
  service: 'ssm',
  resource: 'parameter',
  resourceName: limits.slice(1),
});

function allow(action, arn) {
  handler.addToRolePolicy(
    new PolicyStatement({ actions: [action], resources: [stack.formatArn(arn)] }),
  );
}

app.synth();
