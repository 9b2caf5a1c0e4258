// What an AWS user's program does every day, with nothing but the environment to tell it where KMS is. Run as a process of its own; it
// prints what it stored, so that the test can look at it from outside.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  KMSClient,
} from '@aws-sdk/client-kms';

const sentence = '다람쥐 헌 쳇바퀴에 타고파 — 열쇠는 하드웨어 안에 있다.';
const alias = `alias/everyday-${process.argv[2]}`;
const kms = new KMSClient({});

const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description: '매일 쓰는 열쇠' }));
await kms.send(new CreateAliasCommand({ AliasName: alias, TargetKeyId: KeyMetadata.KeyId }));

const context = { 부서: '연구소', purpose: 'everyday' };
const encrypted = await kms.send(
  new EncryptCommand({ KeyId: alias, Plaintext: Buffer.from(sentence), EncryptionContext: context }),
);
const decrypted = await kms.send(
  new DecryptCommand({ CiphertextBlob: encrypted.CiphertextBlob, EncryptionContext: context }),
);

const dataKey = await kms.send(new GenerateDataKeyCommand({ KeyId: alias, KeySpec: 'AES_256' }));
const iv = randomBytes(12);
const cipher = createCipheriv('aes-256-gcm', dataKey.Plaintext, iv);
const body = Buffer.concat([cipher.update(sentence), cipher.final()]);
dataKey.Plaintext.fill(0);
const stored = JSON.stringify({
  key: Buffer.from(dataKey.CiphertextBlob).toString('base64'),
  iv: iv.toString('base64'),
  body: body.toString('base64'),
  tag: cipher.getAuthTag().toString('base64'),
});

const record = Object.fromEntries(
  Object.entries(JSON.parse(stored)).map(([name, text]) => [name, Buffer.from(text, 'base64')]),
);
const again = await kms.send(new DecryptCommand({ CiphertextBlob: record.key }));
const decipher = createDecipheriv('aes-256-gcm', again.Plaintext, record.iv).setAuthTag(record.tag);
const read = Buffer.concat([decipher.update(record.body), decipher.final()]).toString();

console.log(
  JSON.stringify({
    sentence,
    decrypted: Buffer.from(decrypted.Plaintext).toString(),
    read,
    keyArn: KeyMetadata.Arn,
    answeredBy: [encrypted.KeyId, decrypted.KeyId, dataKey.KeyId, again.KeyId],
    stored,
  }),
);
kms.destroy();
