// What is wrong with an answer, as lines: it is not what the oracle says, it is an error that the model does not declare for the operation
// and that is not common to all, or it has what the model does not know.
import { judge, strange } from './oracle.js';
import { type Operation, shapeOf } from './service-model.js';
import type { Answer } from './world.js';

/**
 * Of the AWS KMS API Reference, "Common Errors" (under the names that KMS has on the wire), and what AWS's framework says before an
 * operation is known or its input read.
 */
const common: ReadonlySet<string> = new Set([
  'AccessDeniedException',
  'IncompleteSignatureException',
  'InvalidSignatureException',
  'MissingAuthenticationTokenException',
  'RequestEntityTooLargeException',
  'SerializationException',
  'ThrottlingException',
  'UnknownOperationException',
  'UnrecognizedClientException',
  'ValidationException',
]);

interface ErrorBody {
  readonly __type: string;
  readonly message?: string;
}

const violated = /^(\d+) validation errors? detected: /;

export function findings(operation: Operation, json: unknown, answer: Answer): readonly string[] {
  return findingsOf(operation, json, answer).map(shortened);
}

/** Of what stands many times in a row, one and how many: a bound may be far out. */
const shortened = (line: string): string =>
  line.replace(/(.)\1{30,}/gsu, (run, one: string) => `${one}…(${run.length})`).slice(0, 1000);

function findingsOf(operation: Operation, json: unknown, answer: Answer): readonly string[] {
  // As it was sent: what is undefined is not there.
  const sent = json === undefined ? undefined : (JSON.parse(JSON.stringify(json)) as unknown);
  const verdict = judge(operation.input, sent);
  const said = answer.status === 200 ? undefined : (answer.body as ErrorBody);
  const told = answer.status === 200 ? 'success' : answer.text;
  const found = said === undefined ? ofSuccess(operation, answer) : ofError(operation, said, answer.status);
  switch (verdict.kind) {
    case 'serialization': {
      const isRight = said?.__type === 'SerializationException' && said.message === verdict.message;
      return isRight ? found : [...found, `SerializationException ${verdict.message ?? '-'} is due, not ${told}`];
    }
    case 'violations': {
      const due = [...verdict.texts].sort();
      const texts = said?.__type === 'ValidationException' ? textsOf(said.message ?? '') : [];
      const isRight = texts.length === due.length && texts.every((text, n) => text === due[n]);
      return isRight ? found : [...found, `${due.join('; ')} is due, not ${told}`];
    }
    default: {
      const isRefused =
        said?.__type === 'SerializationException' ||
        (said?.__type === 'ValidationException' && violated.test(said.message ?? ''));
      return isRefused ? [...found, `the model lets it through, not ${told}`] : found;
    }
  }
}

function textsOf(message: string): readonly string[] {
  const [head = '', count] = violated.exec(message) ?? [];
  const texts = message
    .slice(head.length)
    .split(/; (?=Value )/)
    .sort();
  return texts.length === Number(count) ? texts : [];
}

function ofSuccess(operation: Operation, answer: Answer): readonly string[] {
  if (operation.output === undefined) return answer.text === '' ? [] : [`the answer has a body: ${answer.text}`];
  return strange(operation.output, answer.body, operation.output.shape);
}

function ofError(operation: Operation, { __type, ...rest }: ErrorBody, status: number): readonly string[] {
  const declared = operation.errors.find(({ shape }) => shape === __type);
  const shape = declared === undefined ? undefined : shapeOf(declared);
  const isFault = shape?.type === 'structure' && shape.fault === true;
  return [
    ...(declared !== undefined || common.has(__type) ? [] : [`${__type} is not declared: ${rest.message ?? '-'}`]),
    ...(status === (isFault ? 500 : 400) ? [] : [`${__type} has status ${status}`]),
    ...Object.keys(rest)
      .filter((name) => name !== 'message')
      .map((name) => `${__type} has a member ${name}`),
  ];
}
