// What development mode prints when it is ready: where it is, how to use it, and what it is not. The session works in both major versions
// of the AWS CLI, which read a blob from a file alike and from an argument differently.
import type { TokenInfo } from '../model/token-key.js';
import { adminUrl, devEnvPath, type Endpoint, endpointUrl, shellWord } from './dev-files.js';

export function banner(home: string, endpoint: Endpoint, token: Pick<TokenInfo, 'label' | 'serial'>): string {
  return `
hsm-bridge is ready (development mode)

  AWS endpoint   ${endpointUrl(endpoint)}
  admin          ${adminUrl(endpoint.adminPort)}/health/ready  /metrics
  token          ${token.label}  (serial ${token.serial}, Region ${endpoint.region})

Paste this into another shell:

  set -a; . ${shellWord(devEnvPath(home))}; set +a
  key=$(aws kms create-key --query KeyMetadata.KeyId --output text)
  echo hello >hello.txt
  aws kms encrypt --key-id "$key" --plaintext fileb://hello.txt --query CiphertextBlob --output text | base64 -d >hello.enc
  aws kms decrypt --ciphertext-blob fileb://hello.enc --query Plaintext --output text | base64 -d

NOT FOR PRODUCTION: the token is software, and its PIN lies beside it. Ctrl-C stops.

`;
}
