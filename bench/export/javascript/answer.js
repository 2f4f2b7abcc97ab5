// Answers a question with TensorFlow.js, in Node.js and in a browser: format.py says what Question and Answer hold.
// `read` returns a file of the artifact as an ArrayBuffer, and `readPixels(start, size)` so many bytes of the pixels, which may not
// fit into memory. `now`: seconds, monotonic. `peakBytes`: the most that the process had in memory so far, or null where it cannot tell.

// Returns the shape of the float32 values in a .npy file (NumPy's format 1.0), and the byte where they begin.
async function readHeader(readPixels) {
  const start = 10, size = new DataView(await readPixels(8, 2)).getUint16(0, true);
  const header = new TextDecoder().decode(await readPixels(start, size));
  if (!header.includes("'<f4'") || header.includes("'fortran_order': True")) throw new Error(`not float32 in order: ${header}`);
  return { shape: header.match(/'shape': \(([^)]*)\)/)[1].split(",").filter((text) => text.trim()).map(Number), begin: start + size };
}

async function loadModel(tf, read) {
  const model = JSON.parse(new TextDecoder().decode(await read("model.json")));
  const parts = [];
  for (const group of model.weightsManifest) for (const path of group.paths) parts.push(new Uint8Array(await read(path)));
  const weightData = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  parts.reduce((place, part) => (weightData.set(part, place), place + part.length), 0);
  return tf.loadGraphModel(tf.io.fromMemory({
    modelTopology: model.modelTopology,
    signature: model.signature,
    format: model.format,
    weightSpecs: model.weightsManifest.flatMap((group) => group.weights),
    weightData: weightData.buffer,
  }));
}

async function answer(tf, question, read, readPixels, now, peakBytes) {
  const { shape, begin } = await readHeader(readPixels);
  const images = shape[0], size = question.batch_size, imageValues = shape.slice(1).reduce((product, length) => product * length, 1);
  const batch = async (first) => {
    const found = new Float32Array(size * imageValues);
    for (let place = 0, count; place < size; place += count) {
      const image = (first + place) % images;
      count = Math.min(size - place, images - image);
      const bytes = await readPixels(begin + 4 * image * imageValues, 4 * count * imageValues);
      found.set(new Float32Array(bytes), place * imageValues);
    }
    return found;
  };
  const timed = async (action) => {
    const begun = now();
    const result = await action();
    return [result, now() - begun];
  };
  const [model, loadSeconds] = await timed(() => loadModel(tf, read));
  const ask = async (pixels) => {
    const given = tf.tensor(pixels, [size, ...shape.slice(1)]);
    const logits = model.execute(given);
    const found = await logits.data();
    given.dispose();
    logits.dispose();
    return found;
  };
  const batches = [];
  while (batches.length < Math.min(question.batches, Math.ceil(images / size))) batches.push(await batch(batches.length * size));
  const [, firstSeconds] = await timed(() => ask(batches[0]));
  const latency = [], begun = [], sizes = [];
  let turn = 0, total = 0;
  const request = async () => (await timed(() => ask(batches[turn++ % batches.length])))[1];
  for (let seconds = 0; question.requests && seconds < question.warmup_seconds;) seconds += await request();
  while (latency.length < question.requests && total < question.seconds) {
    if (Math.max(latency.length / question.requests, total / question.seconds) * question.groups >= sizes.length) {
      begun.push(now());
      sizes.push(0);
    }
    latency.push(await request());
    sizes[sizes.length - 1]++;
    total += latency[latency.length - 1];
  }
  const peak = peakBytes();
  let logits = null;
  if (question.logits !== null) {
    const found = [];
    for (let start = 0; start < images; start += size) found.push(await ask(await batch(start)));
    const classes = found[0].length / size;
    logits = new Float32Array(images * classes);
    found.forEach((part, number) => logits.set(part.subarray(0, Math.min(size, images - number * size) * classes), number * size * classes));
  }
  const said = {
    load_seconds: loadSeconds,
    first_inference_seconds: firstSeconds,
    latency_seconds: latency,
    latency_begun_seconds: begun,
    latency_group_sizes: sizes,
    peak_resident_bytes: peak,
    training_frameworks: [],
  };
  return [said, logits];
}

if (typeof module !== "undefined") module.exports = { answer };
