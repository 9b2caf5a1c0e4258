// The documentation's table of operations and their schemas, made from the registry.

const places = { account: 'account', key: 'key', alias: 'alias', keyOfAlias: "alias's key" };
const states = { any: 'any', usable: 'Enabled', manageable: 'not PendingDeletion', pendingDeletion: 'PendingDeletion' };

/** Of the keys that it names; the others may be in any. */
function statesOf({ resources }) {
  const asked = resources.filter(({ resource }) => resource.kind === 'key');
  return [...new Set(asked.map(({ resource }) => states[resource.accepts]))].join(', ') || 'any';
}

/** Markdown, one row an operation. */
export function operationsTable(operations) {
  const rows = [...operations.values()].map((operation) => {
    const permissions = operation.resources.map(({ resource }) => `${resource.permission} (${places[resource.kind]})`);
    const cells = [
      operation.name,
      permissions.join(', '),
      operation.crossAccount ? 'yes' : 'no',
      statesOf(operation),
      operation.effect,
      operation.quota === 'own' ? operation.name : 'Cryptographic operations',
      operation.record.request.join(', ') || '–',
    ];
    return `| ${cells.join(' | ')} |`;
  });
  return `# Operations

Made by \`npm run generate\` from \`src/operations\`; a test fails when it is out of date. Every other target answers UnknownOperationException.
A durable intent goes before each change.

| Operation | Permission (asked of) | Cross-account | Key state | Effect | Request quota | Audited members of the request |
|---|---|---|---|---|---|---|
${rows.join('\n')}
`;
}

/** JSON, an object for each operation: `input`, and `output` where it answers anything, as JSON Schemas. */
export function operationSchemas(operations, schemaOf) {
  const schemas = [...operations.values()].map(({ name, input, output }) => [
    name,
    { input: schemaOf(input), ...(output === 'nothing' ? {} : { output: schemaOf(output) }) },
  ]);
  return `${JSON.stringify(Object.fromEntries(schemas), undefined, 1)}\n`;
}
