//! What is needed of numpy: its array objects' fields, and scalars.
//!
//! The fields used are the first seven of numpy's public `PyArrayObject`, the same since numpy 1.0. They are
//! checked against an array of known contents when the module is loaded; should they not fit, arrays are
//! sliced through Python instead, which is slower and otherwise the same.

use pyo3::{exceptions::PyImportError, ffi, intern, prelude::*, sync::PyOnceLock, types::PyDict};
use std::ffi::{c_char, c_int};

#[repr(C)]
struct ArrayFields {
    head: ffi::PyObject,
    data: *mut c_char,
    nd: c_int,
    dimensions: *mut isize,
    strides: *mut isize,
    base: *mut ffi::PyObject,
    descr: *mut ffi::PyObject,
}

struct Numpy {
    array: Py<PyAny>,
    float64: Py<PyAny>,
    /// One float that becomes a scalar when it is read by index.
    scratch: Py<PyAny>,
    yes: Py<PyAny>,
    no: Py<PyAny>,
    from_buffer: Py<PyAny>,
    fields_fit: bool,
}

static NUMPY: PyOnceLock<Numpy> = PyOnceLock::new();

/// Looks numpy up and checks its arrays' fields. Called once, when the module is loaded.
pub fn prepare(py: Python<'_>) -> PyResult<()> {
    let np = py.import("numpy")?;
    let dtype = np.getattr("dtype")?.call1(("float64",))?;
    let scratch = np.getattr("zeros")?.call1((1,))?;
    let mut numpy = Numpy {
        array: np.getattr("ndarray")?.unbind(),
        float64: dtype.unbind(),
        scratch: scratch.unbind(),
        yes: np.getattr("True_")?.unbind(),
        no: np.getattr("False_")?.unbind(),
        from_buffer: np.getattr("frombuffer")?.unbind(),
        fields_fit: false,
    };
    numpy.fields_fit = fields_fit(&np, &numpy)?;
    NUMPY.set(py, numpy).map_err(|_| PyImportError::new_err("the native module was loaded twice"))
}

fn numpy(py: Python<'_>) -> &Numpy {
    NUMPY.get(py).expect("set when the module is loaded")
}

/// Whether [`ArrayFields`] describes this numpy's arrays.
fn fields_fit(np: &Bound<'_, PyModule>, numpy: &Numpy) -> PyResult<bool> {
    let py = np.py();
    let sample = np.getattr("arange")?.call1((6.0,))?.call_method1("reshape", (2, 3))?;
    let row = sample.get_item(1)?;
    let address: (usize, bool) =
        sample.getattr("__array_interface__")?.cast_into::<PyDict>()?.as_any().get_item("data")?.extract()?;
    let size: usize = sample.get_type().getattr("__basicsize__")?.extract()?;
    if size < size_of::<ArrayFields>() {
        return Ok(false);
    }
    // SAFETY: the objects live and are at least that large, so the fields may be read; pointers among them are
    // followed only after what surrounds them was found to be as expected.
    unsafe {
        let (s, r) = (&*sample.as_ptr().cast::<ArrayFields>(), &*row.as_ptr().cast::<ArrayFields>());
        let plain = s.data as usize == address.0
            && (s.nd, r.nd) == (2, 1)
            && s.descr == numpy.float64.as_ptr()
            && r.descr == numpy.float64.as_ptr()
            && r.data as usize == address.0 + 24;
        Ok(plain
            && [*s.dimensions, *s.dimensions.add(1), *r.dimensions] == [2, 3, 3]
            && [*s.strides, *s.strides.add(1), *r.strides] == [24, 8, 8]
            && r.base != py.None().as_ptr())
    }
}

/// The fields of a numpy array; none when the object is no array or the fields are not as expected.
fn fields(object: &Bound<'_, PyAny>) -> Option<*mut ArrayFields> {
    let numpy = numpy(object.py());
    let array = numpy.array.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: both are live objects, `array` is a type.
    let is_array = numpy.fields_fit && unsafe { ffi::PyObject_TypeCheck(object.as_ptr(), array) != 0 };
    is_array.then(|| object.as_ptr().cast())
}

/// Where an array's last axis can be made longer in place.
#[derive(Clone, Copy)]
pub struct LastAxis {
    fields: *mut ArrayFields,
    data: *mut c_char,
    nd: c_int,
}

impl LastAxis {
    /// None when the object is no array with an axis.
    pub fn of(object: &Bound<'_, PyAny>) -> Option<Self> {
        let fields = fields(object)?;
        // SAFETY: checked by `fields`.
        let (data, nd) = unsafe { ((*fields).data, (*fields).nd) };
        (nd > 0).then_some(Self { fields, data, nd })
    }

    /// Makes the axis `to` long if it is `from` long and nobody changed the array's shape since.
    ///
    /// # Safety
    ///
    /// The array is alive, nobody else looks at it, and its memory is at least `to` long on that axis.
    pub unsafe fn lengthen(self, from: usize, to: usize) -> bool {
        // SAFETY: the array is alive, so its fields and its `nd` dimensions are.
        unsafe {
            let array = &*self.fields;
            if array.nd != self.nd || array.data != self.data {
                return false;
            }
            let last = array.dimensions.add(self.nd as usize - 1);
            let same = *last == from as isize;
            if same {
                *last = to as isize;
            }
            same
        }
    }
}

/// The last two values of a one-dimensional float64 array with at least two.
pub fn last_two(object: &Bound<'_, PyAny>) -> Option<(f64, f64)> {
    let fields = fields(object)?;
    // SAFETY: checked by `fields`; the dimension says how many values there are.
    unsafe {
        let array = &*fields;
        if array.nd != 1 || array.descr != numpy(object.py()).float64.as_ptr() {
            return None;
        }
        let (length, stride) = (*array.dimensions, *array.strides);
        if length < 2 {
            return None;
        }
        let at = |i: isize| array.data.offset(i * stride).cast::<f64>().read_unaligned();
        Some((at(length - 2), at(length - 1)))
    }
}

/// The bytes of a whole, plain, one-dimensional float64 array.
pub fn floats(object: &Bound<'_, PyAny>) -> PyResult<Vec<f64>> {
    let bytes: Vec<u8> = object.call_method0(intern!(object.py(), "tobytes"))?.extract()?;
    Ok(bytes.as_chunks().0.iter().map(|eight| f64::from_ne_bytes(*eight)).collect())
}

/// A numpy float.
pub fn float(py: Python<'_>, value: f64) -> PyResult<Py<PyAny>> {
    let numpy = numpy(py);
    let scratch = numpy.scratch.bind(py);
    match fields(scratch) {
        Some(fields) => {
            // SAFETY: the scratch array holds one float64, and nobody else sees it.
            unsafe { (*fields).data.cast::<f64>().write(value) };
            Ok(scratch.get_item(0)?.unbind())
        }
        None => numpy.float64.bind(py).getattr(intern!(py, "type"))?.call1((value,)).map(Bound::unbind),
    }
}

/// A numpy bool.
pub fn boolean(py: Python<'_>, value: bool) -> Py<PyAny> {
    let numpy = numpy(py);
    if value { numpy.yes.clone_ref(py) } else { numpy.no.clone_ref(py) }
}

/// A new, writable float64 array.
pub fn array(py: Python<'_>, values: &[f64]) -> PyResult<Py<PyAny>> {
    // SAFETY: the floats' own memory, read as bytes while they are borrowed.
    let bytes = unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) };
    let bytes = pyo3::types::PyByteArray::new(py, bytes);
    let numpy = numpy(py);
    if values.is_empty() {
        // numpy refuses an empty buffer.
        return py.import("numpy")?.getattr("empty")?.call1((0,)).map(Bound::unbind);
    }
    Ok(numpy.from_buffer.bind(py).call1((bytes, &numpy.float64))?.unbind())
}
