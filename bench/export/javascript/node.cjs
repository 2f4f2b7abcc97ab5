// node.cjs MODULES: reads a question from standard input, and writes the answer to standard output.

const fs = require("fs");
const path = require("path");
const { createRequire } = require("module");
const { answer } = require("./answer.js");

const find = createRequire(path.join(process.argv[2], "here.js"));
console.log = console.warn = console.info = console.error; // Standard output is for the answer.
const tf = find("@tensorflow/tfjs");
const wasm = find("@tensorflow/tfjs-backend-wasm");

const exactly = (buffer) => buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength);

async function main() {
  const question = JSON.parse(fs.readFileSync(0, "utf8"));
  wasm.setWasmPaths(path.join(process.argv[2], "@tensorflow", "tfjs-backend-wasm", "dist") + path.sep);
  if (!(await tf.setBackend("wasm"))) throw new Error("TensorFlow.js has no WebAssembly backend here");
  await tf.ready();
  const read = async (name) => exactly(fs.readFileSync(path.join(question.artifact, name)));
  const pixels = fs.openSync(question.pixels);
  const readPixels = async (start, size) => {
    const found = new Uint8Array(size);
    if (fs.readSync(pixels, found, 0, size, start) !== size) throw new Error(`${question.pixels} ends too early`);
    return found.buffer;
  };
  // Node's clock is the machine's monotonic one, which telemetry shares.
  const now = () => Number(process.hrtime.bigint()) / 1e9;
  const peakBytes = () => process.resourceUsage().maxRSS * 1024;
  const [said, logits] = await answer(tf, question, read, readPixels, now, peakBytes);
  if (logits !== null) fs.writeFileSync(`${question.logits}.raw`, new Uint8Array(logits.buffer));
  said.version = `${tf.version.tfjs}, Node.js ${process.versions.node}`;
  process.stdout.write(JSON.stringify(said));
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
