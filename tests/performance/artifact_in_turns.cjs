// One graph model asked by the harness and by a loop without it, in one process and in turns: what slows one slows the other.
// node artifact_in_turns.cjs MODULES ANSWER_JS ARTIFACT PIXELS SIDE REQUESTS; PIXELS: a .npy file of images.
// Prints the harness's median latency in seconds, and that of the loop.

const fs = require("fs");
const path = require("path");
const [modules, answerFile, artifact, pixelsFile, side, requests] = process.argv.slice(2);
const find = require("module").createRequire(path.join(modules, "here.js"));
const { answer } = require(answerFile);
const { load } = require("./artifact_by_hand.cjs");

const TURNS = 20; // As many as the harness has groups of requests.
const bytes = (file) => new Uint8Array(fs.readFileSync(file)).buffer;
const now = () => Number(process.hrtime.bigint()) / 1e9;
const median = (values) => {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[sorted.length >> 1] + sorted[(sorted.length - 1) >> 1]) / 2;
};

async function main() {
  const tf = find("@tensorflow/tfjs");
  find("@tensorflow/tfjs-backend-wasm").setWasmPaths(path.join(modules, "@tensorflow/tfjs-backend-wasm/dist/"));
  await tf.setBackend("wasm");
  const pixels = bytes(pixelsFile);
  const values = new Float32Array(pixels.slice(10 + new DataView(pixels).getUint16(8, true)));
  const size = side * side * 3;
  const images = Array.from({ length: values.length / size }, (_, number) => values.slice(number * size, (number + 1) * size));
  const ask = await load(tf, artifact, Number(side));
  const question = {
    batch_size: 1, batches: images.length, requests: requests / TURNS, seconds: 60, groups: 1, warmup_seconds: 0.1, logits: null,
  };
  const ours = [], hand = [];
  for (let turn = 0, number = 0; turn < TURNS; turn++) {
    const read = async (name) => bytes(path.join(artifact, name));
    const said = await answer(tf, question, read, async (start, length) => pixels.slice(start, start + length), now, () => null);
    ours.push(...said[0].latency_seconds);
    await ask(images[0]);
    for (let request = 0; request < requests / TURNS; request++) {
      const begun = now();
      await ask(images[number++ % images.length]);
      hand.push(now() - begun);
    }
  }
  process.stdout.write(`${median(ours)} ${median(hand)}\n`);
}

main();
