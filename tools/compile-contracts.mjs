// Compiles contracts/*.sol into contracts/build/*.json (ABI and bytecode, which are committed).
// With --check it writes nothing and fails when a committed build is not what the source compiles to.

import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const contracts = join(dirname(fileURLToPath(import.meta.url)), "..", "contracts");
const args = process.argv.slice(2);
const check = args.includes("--check");
if (args.some((arg) => arg !== "--check")) {
  console.error("usage: node compile-contracts.mjs [--check]");
  process.exit(2);
}

const files = readdirSync(contracts).filter((file) => file.endsWith(".sol")).sort();
const input = {
  language: "Solidity",
  sources: Object.fromEntries(
    files.map((file) => [file, { content: readFileSync(join(contracts, file), "utf8") }]),
  ),
  settings: {
    optimizer: { enabled: true, runs: 200 },
    // The newest rules that Avalanche's C-Chain and our local node both have.
    evmVersion: "cancun",
    // No hash of the metadata in the bytecode: a changed comment must not change it.
    metadata: { bytecodeHash: "none" },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
  },
};

const output = JSON.parse(solc.compile(JSON.stringify(input)));
const problems = output.errors ?? [];
if (problems.length > 0) {
  for (const problem of problems) console.error(problem.formattedMessage);
  console.error("contracts must compile without errors and without warnings");
  process.exit(1);
}

let stale = 0;
mkdirSync(join(contracts, "build"), { recursive: true });
for (const file of files) {
  const name = basename(file, ".sol");
  const contract = output.contracts[file][name];
  if (!contract) {
    console.error(`${file} must hold a contract ${name}`);
    process.exit(1);
  }
  const build = {
    contract: name,
    compiler: solc.version(),
    abi: contract.abi,
    bytecode: `0x${contract.evm.bytecode.object}`,
  };
  const text = `${JSON.stringify(build, null, 2)}\n`;
  const path = join(contracts, "build", `${name}.json`);
  if (!check) {
    writeFileSync(path, text);
    console.log(`wrote contracts/build/${name}.json`);
  } else if (read(path) !== text) {
    console.error(`contracts/build/${name}.json is not what contracts/${file} compiles to`);
    stale += 1;
  } else {
    console.log(`contracts/build/${name}.json is up to date`);
  }
}
process.exit(stale === 0 ? 0 : 1);

function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
