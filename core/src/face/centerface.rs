//! CenterFace (Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019): a MobileNetV2 with
//! a feature pyramid that answers, for every fourth pixel, whether a face is centred there, how large it is and where
//! its five points are. `models/centerface.LICENSE.md` says where the weights come from.

use alloc::format;
use alloc::vec::Vec;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::FaceError;
use super::parameters::load;
use crate::layers::{BiasedConvolution, ConvolutionSizes};
use crate::ops::{self, Activation, InvertedResidual, KeptLayout, Steps};
use crate::weights::{Loader, WeightsError};

/// Both sides of an input are multiples of this.
pub const GRID: usize = 32;
/// Pixels of the input from one place of the answer to the next.
pub const STRIDE: usize = 4;
/// Numbers of the answer at each place.
pub const CHANNELS: usize = 15;

/// The pyramid's channels.
const WIDTH: usize = 24;
/// Channels after the first convolution.
const STEM: usize = 32;
/// Channels after each block and the stride of its depthwise convolution. All but the first expand their input sixfold.
const BLOCKS: [(usize, usize); 17] = [
    (16, 1),
    (24, 2),
    (24, 1),
    (32, 2),
    (32, 1),
    (32, 1),
    (64, 2),
    (64, 1),
    (64, 1),
    (64, 1),
    (96, 1),
    (96, 1),
    (96, 1),
    (160, 2),
    (160, 1),
    (160, 1),
    (320, 1),
];
const EXPANSION: usize = 6;
/// The blocks whose outputs the pyramid takes: the last ones at a stride of 4, 8, 16 and 32 pixels.
const TAPPED: [usize; 4] = [2, 5, 12, 16];

/// The network.
#[derive(Module, Debug)]
pub struct CenterFace {
    stem: BiasedConvolution,
    blocks: Vec<Block>,
    laterals: Vec<BiasedConvolution>,
    rises: Vec<BiasedConvolution>,
    smooth: BiasedConvolution,
    head: BiasedConvolution,
}

impl CenterFace {
    /// Reads the network from the bytes of `centerface.safetensors`, as `tests/reference/convert_centerface.py` writes it.
    ///
    /// # Errors
    /// The first tensor that is missing, misshapen, not finite or not of this network.
    pub fn from_safetensors(bytes: &[u8], device: &Device) -> Result<Self, FaceError> {
        load(bytes, "centerface.safetensors", device, Self::load)
    }

    fn load(loader: &mut Loader) -> Result<Self, WeightsError> {
        let square = |inputs, outputs| ConvolutionSizes { inputs, outputs, side: 3 };
        let stem = loader.within("stem", |l| BiasedConvolution::load(l, square(3, STEM)))?;
        let (mut inputs, mut blocks, mut laterals) = (STEM, Vec::new(), Vec::new());
        for (index, (outputs, stride)) in BLOCKS.into_iter().enumerate() {
            blocks.push(loader.within(&format!("blocks.{index}"), |l| Block::load(l, index, inputs, outputs, stride))?);
            inputs = outputs;
            if TAPPED.contains(&index) {
                let name = format!("lateral.{}", laterals.len());
                laterals.push(loader.within(&name, |l| BiasedConvolution::load_pointwise(l, outputs, WIDTH))?);
            }
        }
        let rise =
            |level| loader.within(&format!("rise.{level}"), |l| BiasedConvolution::load_pointwise(l, WIDTH, 4 * WIDTH));
        let rises = (0..TAPPED.len() - 1).map(rise).collect::<Result<_, _>>()?;
        let smooth = loader.within("smooth", |l| BiasedConvolution::load(l, square(WIDTH, WIDTH)))?;
        let head = loader.within("head", |l| BiasedConvolution::load_pointwise(l, WIDTH, CHANNELS))?;
        Ok(Self { stem, blocks, laterals, rises, smooth, head })
    }

    /// What the network sees at every fourth pixel: the logit of a face being centred there, the logarithms of its width
    /// and height in fours of pixels, how far right and down of the place's middle its centre is in fours of pixels, and
    /// x and y of its five points (in the order of [`Landmarks`]) in parts of the box, from its upper left corner.
    ///
    /// # Shapes
    /// - images: `[n, height, width, 3]`, RGB levels 0 to 255; both sides are multiples of [`GRID`]
    /// - output: `[n, height / 4, width / 4, 15]`
    ///
    /// [`Landmarks`]: super::Landmarks
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let relu = Some(Activation::Relu);
        let pointwise = |layer: &BiasedConvolution, x, activation| layer.forward(x, Steps::same(1), activation);
        let mut x = self.stem.forward(images, Steps::centred(2), relu);
        let mut maps = Vec::new();
        for (index, block) in self.blocks.iter().enumerate() {
            x = block.forward(x);
            if TAPPED.contains(&index) {
                maps.push(x.clone());
            }
        }
        let mut laterals = self.laterals.iter().zip(maps).map(|(lateral, map)| pointwise(lateral, map, relu)).rev();
        let Some(coarsest) = laterals.next() else { return x };
        let finest = laterals
            .zip(self.rises.iter().rev())
            .fold(coarsest, |coarse, (lateral, rise)| spread(pointwise(rise, coarse, relu)) + lateral);
        pointwise(&self.head, self.smooth.forward(finest, Steps::centred(1), relu), None)
    }
}

/// Makes 2 × 2 pixels of each, whose channels lie side by side: upper left, upper right, lower left, lower right. After a
/// convolution of 1 × 1 this is a transposed convolution of 2 × 2 and stride 2.
///
/// # Shapes
/// - x: `[n, rows, columns, 4 * channels]`
/// - output: `[n, 2 * rows, 2 * columns, channels]`
fn spread(x: Tensor<4>) -> Tensor<4> {
    let [images, rows, columns, channels] = x.dims();
    let pixels: Tensor<5> = x.reshape([images, rows, columns, 2, channels / 2]);
    pixels.swap_dims(2, 3).reshape([images, 2 * rows, 2 * columns, channels / 4])
}

/// An inverted residual block: expand, filter each channel, project, and add the input where the shape stays.
#[derive(Module, Debug)]
struct Block {
    expand: Option<BiasedConvolution>,
    filter: BiasedConvolution,
    project: BiasedConvolution,
    stride: usize,
    residual: bool,
    /// The weights as vector instructions read them.
    #[module(skip)]
    layout: KeptLayout,
}

impl Block {
    fn load(
        loader: &mut Loader,
        index: usize,
        inputs: usize,
        outputs: usize,
        stride: usize,
    ) -> Result<Self, WeightsError> {
        let (inside, expand) = match index {
            0 => (inputs, None),
            _ => {
                let inside = EXPANSION * inputs;
                (inside, Some(loader.within("expand", |l| BiasedConvolution::load_pointwise(l, inputs, inside))?))
            }
        };
        let kernels = ConvolutionSizes { inputs: 1, outputs: inside, side: 3 };
        let filter = loader.within("depthwise", |l| BiasedConvolution::load(l, kernels))?;
        let project = loader.within("project", |l| BiasedConvolution::load_pointwise(l, inside, outputs))?;
        let residual = stride == 1 && inputs == outputs;
        Ok(Self { expand, filter, project, stride, residual, layout: KeptLayout::default() })
    }

    /// `[n, rows, columns, in]` to `[n, rows / stride, columns / stride, out]`.
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let block = InvertedResidual {
            expand: self.expand.as_ref().map(|expand| (expand.matrix(), expand.affine())),
            filter: self.filter.weight.val(),
            filter_affine: self.filter.affine(),
            project: self.project.matrix(),
            project_affine: self.project.affine(),
            steps: Steps::centred(self.stride),
            activation: Activation::Relu,
            residual: self.residual,
        };
        ops::inverted_residual_kept(input, block, &self.layout)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use burn::tensor::TensorData;
    use safetensors::SafeTensors;
    use safetensors::tensor::{Dtype, TensorView, serialize};

    use super::*;
    use crate::weights::SafetensorsFile;

    fn file(path: &str) -> Vec<u8> {
        std::fs::read(String::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../")) + path).unwrap()
    }

    fn weights() -> Vec<u8> {
        file("models/centerface.safetensors")
    }

    #[test]
    fn the_network_answers_as_onnxruntime_does() {
        let goldens = file("tests/goldens/centerface.safetensors");
        let goldens = SafeTensors::deserialize(&goldens).unwrap();
        let input = goldens.tensor("input").unwrap();
        let levels: Vec<f32> = input.data().iter().map(|level| f32::from(*level)).collect();
        let images = Tensor::<4>::from_data(TensorData::new(levels, input.shape()), &Device::flex());
        let network = CenterFace::from_safetensors(&weights(), &Device::flex()).unwrap();
        let answer = network.forward(images);
        let mut first = 0;
        for name in ["heat", "sizes", "offsets", "landmarks"] {
            let view = goldens.tensor(name).unwrap();
            let values: Vec<f32> =
                view.data().as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
            let expected = Tensor::<4>::from_data(TensorData::new(values, view.shape()), &Device::flex());
            let channels = view.shape()[3];
            let largest: f32 = expected.clone().abs().max().into_scalar();
            let difference: f32 = (answer.clone().narrow(3, first, channels) - expected).abs().max().into_scalar();
            assert!(difference < 1e-4 * largest, "{name}: {difference} of {largest}");
            first += channels;
        }
        assert_eq!(first, CHANNELS);
    }

    #[test]
    fn a_pixel_is_spread_over_the_four_it_becomes() {
        let x = Tensor::<4>::from_floats([[[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]]], &Device::flex());
        let expected =
            Tensor::<4>::from_floats([[[[1.0], [2.0], [5.0], [6.0]], [[3.0], [4.0], [7.0], [8.0]]]], &Device::flex());
        assert_eq!(spread(x).into_data(), expected.into_data());
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
        CenterFace::from_safetensors(bytes, &Device::flex()).unwrap_err().problem
    }

    #[test]
    fn damaged_weights_are_refused_with_the_tensor_named() {
        let missing = error(&with_tensor("blocks.4.project.bias", &[32], None));
        assert!(matches!(&missing, WeightsError::Missing(name) if name == "blocks.4.project.bias"), "{missing}");
        let misshapen = error(&with_tensor("smooth.weight", &[24, 24, 3, 1], Some(0.0)));
        assert!(matches!(&misshapen, WeightsError::Shape { name, .. } if name == "smooth.weight"), "{misshapen}");
        let broken = error(&with_tensor("head.bias", &[15], Some(f32::NAN)));
        assert!(matches!(&broken, WeightsError::NotFinite(name) if name == "head.bias"), "{broken}");
        let unknown = error(&with_tensor("tail.weight", &[1], Some(0.0)));
        assert!(matches!(&unknown, WeightsError::Extra(name) if name == "tail.weight"), "{unknown}");
    }

    #[test]
    fn what_is_no_safetensors_file_is_refused() {
        assert!(matches!(error(b"no weights"), WeightsError::NotSafetensors(_)));
        let whole = weights();
        assert!(matches!(error(&whole[..whole.len() / 2]), WeightsError::NotSafetensors(_)));
    }

    #[test]
    fn the_file_holds_weights_in_f16() {
        let bytes = weights();
        let file = SafetensorsFile::open(bytes.as_slice()).unwrap();
        assert_eq!(file.dtype("blocks.0.project.weight"), Some(Dtype::F16));
    }
}
