//! The three networks of MTCNN (Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded
//! Convolutional Networks", 2016), layer by layer as in facenet-pytorch 2.6.0, whose weights they load.
//!
//! All three read RGB images `[n, height, width, 3]` scaled to -1..1 as `(level - 127.5) / 128`. Boxes come out as
//! offsets of the four edges (left, top, right, bottom) in parts of the input's side.

use burn::module::Module;
use burn::nn::{Linear, PRelu};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};

use super::FaceError;
use super::layers::{Convolution, max_pool};
use super::parameters::{Parameters, load};
use crate::weights::WeightsError;

/// Side of the part of an image that P-Net sees for one output cell, in pixels.
pub const PROPOSAL_SIDE: usize = 12;
/// Distance between the parts that neighbouring P-Net cells see, in pixels.
pub const PROPOSAL_STRIDE: usize = 2;
/// Side of R-Net's input in pixels.
pub const REFINE_SIDE: usize = 24;
/// Side of O-Net's input in pixels.
pub const OUTPUT_SIDE: usize = 48;

/// The three networks.
#[derive(Module, Debug)]
pub struct Mtcnn {
    /// Proposes faces in a whole image.
    pub pnet: ProposalNet,
    /// Refines proposals.
    pub rnet: RefineNet,
    /// Decides, and finds the five points.
    pub onet: OutputNet,
}

impl Mtcnn {
    /// Reads the networks from a safetensors file with the names `{pnet,rnet,onet}.{layer}.{weight,bias}`, layers
    /// named and shaped as in facenet-pytorch.
    ///
    /// # Errors
    /// The first tensor that is missing, misshapen, not finite or not of these networks.
    pub fn from_safetensors(bytes: &[u8], device: &Device) -> Result<Self, FaceError> {
        load(bytes, "mtcnn.safetensors", device, |parameters| {
            Ok(Self {
                pnet: ProposalNet::load(parameters)?,
                rnet: RefineNet::load(parameters)?,
                onet: OutputNet::load(parameters)?,
            })
        })
    }
}

/// P-Net: fully convolutional, one output cell for every second pixel.
#[derive(Module, Debug)]
pub struct ProposalNet {
    conv1: Convolution,
    conv2: Convolution,
    conv3: Convolution,
    conv4_1: Convolution,
    conv4_2: Convolution,
}

impl ProposalNet {
    fn load(parameters: &mut Parameters) -> Result<Self, WeightsError> {
        Ok(Self {
            conv1: parameters.convolution("pnet.conv1", [10, 3, 3, 3], Some("pnet.prelu1"))?,
            conv2: parameters.convolution("pnet.conv2", [16, 10, 3, 3], Some("pnet.prelu2"))?,
            conv3: parameters.convolution("pnet.conv3", [32, 16, 3, 3], Some("pnet.prelu3"))?,
            conv4_1: parameters.convolution("pnet.conv4_1", [2, 32, 1, 1], None)?,
            conv4_2: parameters.convolution("pnet.conv4_2", [4, 32, 1, 1], None)?,
        })
    }

    /// P(face) and box offsets of every cell. Height and width must be 12 at least.
    ///
    /// # Shapes
    /// - images: `[n, height, width, 3]`
    /// - probabilities: `[n, rows, columns, 1]`, rows = ⌈height / 2⌉ - 5, columns likewise
    /// - offsets: `[n, rows, columns, 4]`
    pub fn forward(&self, images: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let x = max_pool(self.conv1.forward(images), 2);
        let x = self.conv3.forward(self.conv2.forward(x));
        (face_probability(self.conv4_1.forward(x.clone())), self.conv4_2.forward(x))
    }
}

/// R-Net: accepts or refuses a proposal and corrects its box.
#[derive(Module, Debug)]
pub struct RefineNet {
    conv1: Convolution,
    conv2: Convolution,
    conv3: Convolution,
    dense4: Linear,
    prelu4: PRelu,
    dense5_1: Linear,
    dense5_2: Linear,
}

impl RefineNet {
    fn load(parameters: &mut Parameters) -> Result<Self, WeightsError> {
        Ok(Self {
            conv1: parameters.convolution("rnet.conv1", [28, 3, 3, 3], Some("rnet.prelu1"))?,
            conv2: parameters.convolution("rnet.conv2", [48, 28, 3, 3], Some("rnet.prelu2"))?,
            conv3: parameters.convolution("rnet.conv3", [64, 48, 2, 2], Some("rnet.prelu3"))?,
            dense4: parameters.linear("rnet.dense4", 576, 128)?,
            prelu4: parameters.prelu("rnet.prelu4", 128)?,
            dense5_1: parameters.linear("rnet.dense5_1", 128, 2)?,
            dense5_2: parameters.linear("rnet.dense5_2", 128, 4)?,
        })
    }

    /// P(face) and box offsets of every image.
    ///
    /// # Shapes
    /// - images: `[n, 24, 24, 3]`
    /// - probabilities: `[n, 1]`
    /// - offsets: `[n, 4]`
    pub fn forward(&self, images: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
        let x = max_pool(self.conv1.forward(images), 3);
        let x = max_pool(self.conv2.forward(x), 3);
        let x = self.conv3.forward(x);
        let x = self.prelu4.forward(self.dense4.forward(flatten_by_column(x)));
        (face_probability(self.dense5_1.forward(x.clone())), self.dense5_2.forward(x))
    }
}

/// O-Net: the last word on a face, and its five points.
#[derive(Module, Debug)]
pub struct OutputNet {
    conv1: Convolution,
    conv2: Convolution,
    conv3: Convolution,
    conv4: Convolution,
    dense5: Linear,
    prelu5: PRelu,
    dense6_1: Linear,
    dense6_2: Linear,
    dense6_3: Linear,
}

impl OutputNet {
    fn load(parameters: &mut Parameters) -> Result<Self, WeightsError> {
        Ok(Self {
            conv1: parameters.convolution("onet.conv1", [32, 3, 3, 3], Some("onet.prelu1"))?,
            conv2: parameters.convolution("onet.conv2", [64, 32, 3, 3], Some("onet.prelu2"))?,
            conv3: parameters.convolution("onet.conv3", [64, 64, 3, 3], Some("onet.prelu3"))?,
            conv4: parameters.convolution("onet.conv4", [128, 64, 2, 2], Some("onet.prelu4"))?,
            dense5: parameters.linear("onet.dense5", 1152, 256)?,
            prelu5: parameters.prelu("onet.prelu5", 256)?,
            dense6_1: parameters.linear("onet.dense6_1", 256, 2)?,
            dense6_2: parameters.linear("onet.dense6_2", 256, 4)?,
            dense6_3: parameters.linear("onet.dense6_3", 256, 10)?,
        })
    }

    /// P(face), box offsets and points of every image.
    ///
    /// # Shapes
    /// - images: `[n, 48, 48, 3]`
    /// - probabilities: `[n, 1]`
    /// - offsets: `[n, 4]`
    /// - points: `[n, 10]`, five x then five y, in parts of the image's side, in the order of [`Landmarks`]
    ///
    /// [`Landmarks`]: super::Landmarks
    pub fn forward(&self, images: Tensor<4>) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
        let x = max_pool(self.conv1.forward(images), 3);
        let x = max_pool(self.conv2.forward(x), 3);
        let x = max_pool(self.conv3.forward(x), 2);
        let x = self.conv4.forward(x);
        let x = self.prelu5.forward(self.dense5.forward(flatten_by_column(x)));
        let probabilities = face_probability(self.dense6_1.forward(x.clone()));
        (probabilities, self.dense6_2.forward(x.clone()), self.dense6_3.forward(x))
    }
}

/// `[n, rows, columns, channels]` to `[n, columns * rows * channels]`: the original Caffe model stored columns first.
fn flatten_by_column(x: Tensor<4>) -> Tensor<2> {
    x.swap_dims(1, 2).flatten(1, 3)
}

/// The second of two classes' softmax, from logits whose last dimension holds (no face, face): for two classes it is
/// the sigmoid of their difference.
fn face_probability<const D: usize>(logits: Tensor<D>) -> Tensor<D> {
    let no_face = logits.clone().narrow(D - 1, 0, 1);
    let face = logits.narrow(D - 1, 1, 1);
    sigmoid(face - no_face)
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use burn::tensor::TensorData;
    use safetensors::SafeTensors;
    use safetensors::tensor::{Dtype, TensorView, serialize};

    use super::*;

    fn file(path: &str) -> Vec<u8> {
        std::fs::read(String::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../")) + path).unwrap()
    }

    fn weights() -> Vec<u8> {
        file("models/mtcnn.safetensors")
    }

    fn golden<const D: usize>(file: &[u8], name: &str) -> Tensor<D> {
        let file = SafeTensors::deserialize(file).unwrap();
        let view = file.tensor(name).unwrap();
        let values: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
        Tensor::from_data(TensorData::new(values, view.shape()), &Device::flex())
    }

    /// Fails unless the largest difference is below 1e-5 of the largest number.
    fn assert_same<const D: usize>(found: Tensor<D>, expected: Tensor<D>, name: &str) {
        assert_eq!(found.dims(), expected.dims(), "{name}");
        let largest: f32 = expected.clone().abs().max().into_scalar();
        let difference: f32 = (found - expected).abs().max().into_scalar();
        assert!(difference < 1e-5 * largest, "{name}: {difference} of {largest}");
    }

    #[test]
    fn the_three_networks_answer_as_facenet_pytorch_does() {
        let goldens = file("tests/goldens/mtcnn.safetensors");
        let networks = Mtcnn::from_safetensors(&weights(), &Device::flex()).unwrap();
        let images = |name: &str| golden::<4>(&goldens, name).permute([0, 2, 3, 1]);

        let (probabilities, offsets) = networks.pnet.forward(images("pnet.input"));
        let expected = golden::<4>(&goldens, "pnet.prob").narrow(1, 1, 1).permute([0, 2, 3, 1]);
        assert_same(probabilities, expected, "pnet.prob");
        assert_same(offsets, golden::<4>(&goldens, "pnet.reg").permute([0, 2, 3, 1]), "pnet.reg");

        let (probabilities, offsets) = networks.rnet.forward(images("rnet.input"));
        assert_same(probabilities, golden::<2>(&goldens, "rnet.prob").narrow(1, 1, 1), "rnet.prob");
        assert_same(offsets, golden(&goldens, "rnet.reg"), "rnet.reg");

        let (probabilities, offsets, points) = networks.onet.forward(images("onet.input"));
        assert_same(probabilities, golden::<2>(&goldens, "onet.prob").narrow(1, 1, 1), "onet.prob");
        assert_same(offsets, golden(&goldens, "onet.reg"), "onet.reg");
        assert_same(points, golden(&goldens, "onet.landmarks"), "onet.landmarks");
    }

    /// The weights with one tensor changed: `None` takes it away.
    fn with_tensor(name: &str, shape: &[usize], value: Option<f32>) -> Vec<u8> {
        let bytes = weights();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let data = value.unwrap_or_default().to_le_bytes().repeat(shape.iter().product());
        let mut tensors: Vec<_> = file.tensors().into_iter().filter(|(other, _)| other != name).collect();
        if value.is_some() {
            tensors.push((name.to_string(), TensorView::new(Dtype::F32, shape.to_vec(), &data).unwrap()));
        }
        serialize(tensors, None).unwrap()
    }

    fn error(bytes: &[u8]) -> WeightsError {
        Mtcnn::from_safetensors(bytes, &Device::flex()).unwrap_err().problem
    }

    #[test]
    fn damaged_weights_are_refused_with_the_tensor_named() {
        let missing = error(&with_tensor("rnet.dense4.bias", &[128], None));
        assert!(matches!(&missing, WeightsError::Missing(name) if name == "rnet.dense4.bias"), "{missing}");
        let misshapen = error(&with_tensor("onet.conv4.weight", &[128, 64, 2, 1], Some(0.0)));
        assert!(matches!(&misshapen, WeightsError::Shape { name, .. } if name == "onet.conv4.weight"), "{misshapen}");
        let broken = error(&with_tensor("pnet.prelu1.weight", &[10], Some(f32::NAN)));
        assert!(matches!(&broken, WeightsError::NotFinite(name) if name == "pnet.prelu1.weight"), "{broken}");
        let unknown = error(&with_tensor("qnet.conv1.weight", &[1], Some(0.0)));
        assert!(matches!(&unknown, WeightsError::Extra(name) if name == "qnet.conv1.weight"), "{unknown}");
    }

    #[test]
    fn what_is_no_safetensors_file_is_refused() {
        assert!(matches!(error(b"no weights"), WeightsError::NotSafetensors(_)));
        let whole = weights();
        assert!(matches!(error(&whole[..whole.len() / 2]), WeightsError::NotSafetensors(_)));
    }
}
