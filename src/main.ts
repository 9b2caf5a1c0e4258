#!/usr/bin/env node
// The program: its first argument chooses the role. Each role is imported by itself, so that a gateway never loads PKCS#11 and a token
// host never loads anything that speaks HTTP.
import './process/no-core.js';

// Roles that only the supervisor starts; what they are to do comes through the process channel.
switch (process.argv[2]) {
  case 'gateway': {
    await import('./process/modest-heap.js');
    const { runGateway } = await import('./compose.js');
    runGateway();
    break;
  }
  case 'token-host': {
    const { runTokenHost } = await import('./token/host/main.js');
    runTokenHost();
    break;
  }
  default: {
    const { runCommand } = await import('./cli/command.js');
    process.exitCode = await runCommand(process.argv.slice(2));
  }
}
