// The generated suite: every operation of the published model is asked, and each that is served must treat every input as the model says.
// Once what a newer model brings has been looked at, `npx vitest run test/conformance/model -u` takes it into known.txt.
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { accounts } from '../../support/line.js';
import { type Case, casesOf } from './cases.js';
import { exceptions, newerValues } from './exceptions.js';
import { findings } from './findings.js';
import { baseOf } from './samples.js';
import { enumOfModel, model, type Operation } from './service-model.js';
import { makeOddities, situationsOf } from './situations.js';
import { type Answer, World } from './world.js';

const world = await World.make();
const oddities = await makeOddities(world);
const needed = new Set<unknown>();
let count = 0;
afterAll(async () => {
  await world.end();
});

const isUnknown = ({ body }: Answer): boolean =>
  (body as { readonly __type?: string } | undefined)?.__type === 'UnknownOperationException';
const served: Operation[] = [];
for (const operation of Object.values(model.operations)) {
  if (!isUnknown(await world.call(operation.name, {}))) served.push(operation);
}

/** The lines that no exception is made of. */
async function run(operation: Operation, cases: readonly Case[], accountId?: string): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const { name, json } of cases) {
    count += 1;
    const answer = await world.call(operation.name, json, accountId);
    for (const finding of findings(operation, json, answer)) {
      const exception = exceptions.find(
        (each) =>
          (each.operation ?? operation.name) === operation.name && each.cases.test(name) && each.finding.test(finding),
      );
      if (exception === undefined) lines.push(`${operation.name}, ${name}: ${finding}`);
      else needed.add(exception);
    }
  }
  return lines;
}

it('is known: a member or an operation that is new in the model is new here', async () => {
  const members = Object.entries(model.shapes).flatMap(([name, shape]) =>
    shape.type === 'structure' && shape.exception !== true
      ? Object.entries(shape.members).map(([member, { shape: type }]) => `${name}.${member} ${type}`)
      : [],
  );
  const lines = [...Object.keys(model.operations).map((name) => `operation ${name}`), ...members].sort();
  await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('known.txt');
});

it('has every operation that is documented as served, and of the others none is known here', () => {
  const table = readFileSync('docs/generated/operations.md', 'utf8');
  const documented = [...table.matchAll(/^\| (\w+) \| kms:/gm)].map(([, name]) => name);
  expect(served.map(({ name }) => name).sort()).toEqual(documented.sort());
  expect(served.length).toBeGreaterThan(20);
});

describe.each(served)('$name', (operation) => {
  it('takes an input that is right', async () => {
    const base = await baseOf(world, operation);
    const answer = await world.call(operation.name, base);
    expect([answer.status, answer.text]).toEqual([200, expect.anything()]);
    expect(findings(operation, base, answer)).toEqual([]);
  });

  it('treats every input as the model says', async () => {
    expect(await run(operation, casesOf(operation, await baseOf(world, operation)))).toEqual([]);
  });

  it('answers no error that the model does not know', async () => {
    const base = await baseOf(world, operation);
    const cases = situationsOf(operation, base, oddities);
    expect(await run(operation, cases)).toEqual([]);
    expect(await run(operation, [{ name: "another account's call", json: base }, ...cases], accounts.second)).toEqual(
      [],
    );
  });
});

describe('afterwards', () => {
  it('no case was a fault of ours', () => {
    expect(world.faults).toEqual([]);
  });

  it('every exception was needed', () => {
    expect(exceptions.filter((each) => !needed.has(each))).toEqual([]);
    for (const [shape, values] of Object.entries(newerValues)) {
      expect(values.filter((value) => enumOfModel(shape).includes(value))).toEqual([]);
    }
  });

  it('there were thousands of cases', () => {
    console.log(`${count} cases of ${served.length} operations, ${exceptions.length} exceptions`);
    expect(count).toBeGreaterThan(100 * served.length);
  });
});
