// Asks a graph model without a harness and prints the median latency in seconds.
// node artifact_by_hand.cjs MODULES ARTIFACT PIXELS HEIGHT REQUESTS; PIXELS: float32, images of RGB.

const fs = require("fs");
const path = require("path");
const [modules, artifact, pixels, height, requests] = process.argv.slice(2);
const find = require("module").createRequire(path.join(modules, "here.js"));
const tf = find("@tensorflow/tfjs");
const WARMUP_REQUESTS = 10;

async function main() {
  find("@tensorflow/tfjs-backend-wasm").setWasmPaths(path.join(modules, "@tensorflow/tfjs-backend-wasm/dist/"));
  await tf.setBackend("wasm");
  const { modelTopology, signature, weightsManifest } = JSON.parse(fs.readFileSync(path.join(artifact, "model.json")));
  const files = weightsManifest.flatMap((group) => group.paths.map((name) => fs.readFileSync(path.join(artifact, name))));
  const weightSpecs = weightsManifest.flatMap((group) => group.weights);
  const weightData = new Uint8Array(Buffer.concat(files)).buffer;
  const model = await tf.loadGraphModel(tf.io.fromMemory({ modelTopology, signature, weightSpecs, weightData }));
  const values = new Float32Array(new Uint8Array(fs.readFileSync(pixels)).buffer);
  const size = height * height * 3;
  const images = Array.from({ length: values.length / size }, (_, number) => values.slice(number * size, (number + 1) * size));
  const milliseconds = [];
  for (let number = 0; number < WARMUP_REQUESTS + Number(requests); number++) {
    const begun = performance.now();
    const given = tf.tensor(images[number % images.length], [1, Number(height), Number(height), 3]);
    const logits = model.execute(given);
    await logits.data();
    milliseconds.push(performance.now() - begun);
    given.dispose();
    logits.dispose();
  }
  const timed = milliseconds.slice(WARMUP_REQUESTS).sort((a, b) => a - b);
  process.stdout.write(`${(timed[timed.length >> 1] + timed[(timed.length - 1) >> 1]) / 2000}\n`);
}

main();
