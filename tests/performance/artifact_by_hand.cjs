// A graph model asked without the harness: `load` returns a function from one image, float32 in [1, side, side, 3], to its logits.

const fs = require("fs");
const path = require("path");

exports.load = async (tf, artifact, side) => {
  const { modelTopology, signature, weightsManifest } = JSON.parse(fs.readFileSync(path.join(artifact, "model.json")));
  const files = weightsManifest.flatMap((group) => group.paths.map((name) => fs.readFileSync(path.join(artifact, name))));
  const weightSpecs = weightsManifest.flatMap((group) => group.weights);
  const weightData = new Uint8Array(Buffer.concat(files)).buffer;
  const model = await tf.loadGraphModel(tf.io.fromMemory({ modelTopology, signature, weightSpecs, weightData }));
  return async (image) => {
    const given = tf.tensor(image, [1, side, side, 3]);
    const logits = model.execute(given);
    const found = await logits.data();
    given.dispose();
    logits.dispose();
    return found;
  };
};
