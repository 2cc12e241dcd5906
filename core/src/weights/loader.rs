//! Loading a model's tensors one by one, each checked.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use burn::module::{Param, ParamId};
use burn::prelude::*;
use burn::tensor::{Bytes, DType};

use super::quantized::check_scales;
use super::{LowRankSpec, QuantizedMatrix, WeightsError};

/// How a parameter starts where no trained value is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Normally distributed around zero with this standard deviation.
    Normal(f32),
    /// All zeros: biases.
    Zeros,
    /// All ones: the weights of norms.
    Ones,
}

/// Something that has tensors by name.
pub trait TensorSource {
    /// The values of the tensor `name`, which the model expects in `shape`, row by row.
    ///
    /// # Errors
    /// [`WeightsError::Missing`], [`WeightsError::Shape`], [`WeightsError::Dtype`] or a failed read.
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError>;

    /// What [`TensorSource::read`] gives as the bytes of a tensor, not copied where the source has them in memory.
    ///
    /// # Errors
    /// Those of [`TensorSource::read`].
    fn bytes(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Bytes, WeightsError> {
        self.read(name, shape, init).map(Bytes::from_elems)
    }

    /// The matrix `name` as integers, where it is stored so; [`TensorSource::read`] then gives the numbers they stand for.
    ///
    /// # Errors
    /// Those of [`TensorSource::read`].
    fn quantized(
        &mut self,
        _name: &str,
        _shape: &[usize],
        _init: Init,
    ) -> Result<Option<QuantizedMatrix>, WeightsError> {
        Ok(None)
    }

    /// The names of all tensors it has, sorted; empty where it can make any.
    fn names(&self) -> Vec<String>;

    /// The shape of the tensor `name`, where it has one.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;
}

/// What a model does with a tensor that it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Rows of activations are multiplied with it, `[out, in]`.
    Product,
    /// They are the kernels of a convolution, `[out, in, side, side]`.
    Kernels,
    /// Anything else: norms, biases, embeddings.
    Other,
}

/// A tensor that a model asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// As in a detector's file.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What for.
    pub usage: Usage,
}

/// Hands a model its tensors and remembers which it took.
pub struct Loader<'a> {
    source: &'a mut dyn TensorSource,
    device: Device,
    prefix: String,
    taken: Vec<String>,
    low_rank: Option<LowRankSpec>,
    /// Where nothing is read: what was asked for.
    listed: Option<Vec<Listed>>,
}

impl<'a> Loader<'a> {
    /// A loader of `source`'s tensors onto `device`.
    pub fn new(source: &'a mut dyn TensorSource, device: &Device) -> Self {
        Self { source, device: device.clone(), prefix: String::new(), taken: Vec::new(), low_rank: None, listed: None }
    }

    /// One that reads nothing of `source` and notes what it is asked for; what it loads takes no memory and is not to be used.
    pub fn listing(source: &'a mut dyn TensorSource) -> Self {
        Self { listed: Some(Vec::new()), ..Self::new(source, &Device::flex()) }
    }

    /// What a loader that lists was asked for, in that order.
    pub fn into_listed(self) -> Vec<Listed> {
        self.listed.unwrap_or_default()
    }

    /// With low-rank updates of the layers that `low_rank` names.
    #[must_use]
    pub fn with_low_rank(self, low_rank: LowRankSpec) -> Self {
        Self { low_rank: Some(low_rank), ..self }
    }

    /// The low-rank update of the layer whose tensors are loaded now, if it has one.
    pub fn low_rank(&self) -> Option<LowRankSpec> {
        let low_rank = self.low_rank.as_ref()?;
        low_rank.changes(self.prefix.trim_end_matches('.')).then(|| low_rank.clone())
    }

    /// Runs `load` with `name.` before every tensor name.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn within<T>(
        &mut self,
        name: &str,
        load: impl FnOnce(&mut Self) -> Result<T, WeightsError>,
    ) -> Result<T, WeightsError> {
        let outer = self.prefix.clone();
        self.prefix = format!("{outer}{name}.");
        let loaded = load(self);
        self.prefix = outer;
        loaded
    }

    /// The parameter `name` of `shape`.
    ///
    /// # Errors
    /// Any [`WeightsError`] of the source, and [`WeightsError::NotFinite`].
    pub fn param<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        init: Init,
    ) -> Result<Param<Tensor<D>>, WeightsError> {
        self.param_for(Usage::Other, name, shape, init)
    }

    /// [`Loader::param`], saying what it is for.
    ///
    /// # Errors
    /// Those of [`Loader::param`].
    pub fn param_for<const D: usize>(
        &mut self,
        usage: Usage,
        name: &str,
        shape: [usize; D],
        init: Init,
    ) -> Result<Param<Tensor<D>>, WeightsError> {
        let name = format!("{}{name}", self.prefix);
        if let Some(listed) = &mut self.listed {
            listed.push(Listed { name, shape: shape.to_vec(), usage });
            let nothing = move |device: &Device, _| Tensor::zeros(shape, device);
            return Ok(Param::uninitialized(ParamId::new(), nothing, self.device.clone(), false, shape.into()));
        }
        let bytes = self.source.bytes(&name, &shape, init)?;
        let found = bytes.len() / size_of::<f32>();
        if found != shape.iter().product::<usize>() {
            return Err(WeightsError::Shape { name, found: [found].to_vec(), expected: shape.to_vec() });
        }
        let data = TensorData::from_bytes(bytes, shape, DType::F32);
        let values = data.as_slice::<f32>().map_err(|error| WeightsError::Read(format!("`{name}`: {error:?}")))?;
        if !are_finite(values) {
            return Err(WeightsError::NotFinite(name));
        }
        self.taken.push(name);
        Ok(Param::from_data(data, &self.device))
    }

    /// The matrix `name` as integers, where the source has it so and it stays as it is: where nothing is trained, on a CPU.
    ///
    /// # Errors
    /// Those of [`Loader::param`].
    pub fn quantized(
        &mut self,
        name: &str,
        shape: [usize; 2],
        init: Init,
    ) -> Result<Option<QuantizedMatrix>, WeightsError> {
        if self.listed.is_some() || self.low_rank().is_some() || self.device != Device::flex() {
            return Ok(None);
        }
        let name = format!("{}{name}", self.prefix);
        let Some(matrix) = self.source.quantized(&name, &shape, init)? else { return Ok(None) };
        check_scales(&name, &matrix.scales)?;
        self.taken.push(name);
        Ok(Some(matrix))
    }

    /// The device that parameters go to.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The tensor `name` of `shape`, which belongs to the model but is never trained.
    ///
    /// # Errors
    /// Those of [`Loader::param`].
    pub fn constant<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        init: Init,
    ) -> Result<Param<Tensor<D>>, WeightsError> {
        Ok(self.param(name, shape, init)?.set_require_grad(false))
    }

    /// Ends the loading.
    ///
    /// # Errors
    /// [`WeightsError::Extra`] with the first tensor of the source that the model did not ask for.
    pub fn finish(self) -> Result<(), WeightsError> {
        let mut taken = self.taken;
        taken.sort_unstable();
        match self.source.names().iter().find(|name| taken.binary_search(name).is_err()) {
            Some(extra) => Err(WeightsError::Extra(extra.to_owned())),
            None => Ok(()),
        }
    }
}

/// Whether all values are finite numbers; without a branch for each, since a large detector has some hundred million.
fn are_finite(values: &[f32]) -> bool {
    values.chunks(4096).all(|some| some.iter().fold(true, |all, value| all & value.is_finite()))
}

impl<S: TensorSource + ?Sized> TensorSource for &mut S {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        (**self).read(name, shape, init)
    }

    fn bytes(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Bytes, WeightsError> {
        (**self).bytes(name, shape, init)
    }

    fn quantized(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Option<QuantizedMatrix>, WeightsError> {
        (**self).quantized(name, shape, init)
    }

    fn names(&self) -> Vec<String> {
        (**self).names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        (**self).shape(name)
    }
}

impl<S: TensorSource + ?Sized> TensorSource for alloc::boxed::Box<S> {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        (**self).read(name, shape, init)
    }

    fn bytes(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Bytes, WeightsError> {
        (**self).bytes(name, shape, init)
    }

    fn quantized(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Option<QuantizedMatrix>, WeightsError> {
        (**self).quantized(name, shape, init)
    }

    fn names(&self) -> Vec<String> {
        (**self).names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        (**self).shape(name)
    }
}
