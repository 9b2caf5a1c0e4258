// The documentation's table of operations and their schemas, made from the registry.

/** An input that has every member an operation's targets may look at. */
const sample = {
  KeyId: 'id',
  TargetKeyId: 'id',
  SourceKeyId: 'id',
  DestinationKeyId: 'id',
  AliasName: 'alias/name',
  CiphertextBlob: Buffer.alloc(1),
  Tags: ['tag'],
  DryRun: false,
  DryRunModifiers: [],
};
const places = { account: 'account', key: 'key', ciphertext: 'key', alias: 'alias', keyOfAlias: "alias's key" };
const states = { any: 'any', usable: 'Enabled', manageable: 'not PendingDeletion', pendingDeletion: 'PendingDeletion' };

/** Markdown, one row an operation. */
export function operationsTable(operations) {
  const rows = [...operations.values()].map((operation) => {
    const permissions = operation.targets(sample).map((target) => `${target.permission} (${places[target.kind]})`);
    const cells = [
      operation.name,
      permissions.join(', '),
      operation.crossAccount ? 'yes' : 'no',
      states[operation.state],
      operation.mutates ? 'yes' : 'no',
      operation.record.request.join(', ') || '–',
    ];
    return `| ${cells.join(' | ')} |`;
  });
  return `# Operations

Made by \`npm run generate\` from \`src/operations\`; a test fails when it is out of date. Every other target answers UnknownOperationException.

| Operation | Permission (asked of) | Cross-account | Key state | Intent before it | Audited members of the request |
|---|---|---|---|---|---|
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
