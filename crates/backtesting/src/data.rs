//! `self.data`: columns as arrays that end at the current bar.

use super::{
    cell::Locked,
    version::rules,
    views::{Held, View, first},
};
use pyo3::{
    exceptions::{PyAttributeError, PyKeyError},
    intern,
    prelude::*,
    types::{PyDict, PyString},
};

/// Columns that are looked up as such, whether they are there or not.
const ALWAYS: [&str; 5] = ["Open", "High", "Low", "Close", "Volume"];

/// The bars a strategy sees.
#[pyclass(name = "_Data", frozen, dict, weakref)]
pub struct Data {
    frame: Py<PyAny>,
    columns: Py<PyDict>,
    bars: usize,
    seen: Locked<Seen>,
}

/// What was asked for so far.
struct Seen {
    length: usize,
    views: Vec<View>,
    /// The run's own frame, once somebody has asked for it: what is done to its columns is for this run alone.
    own: Option<Py<PyAny>>,
    whole_index: Py<PyAny>,
    /// The index up to the length it was asked for at.
    index: Option<(usize, Py<PyAny>)>,
    /// Gives the first rows of the index.
    cut: Option<Py<PyAny>>,
    pip: Option<Py<PyAny>>,
}

#[pymethods]
impl Data {
    /// `columns` holds an array for each column of `frame`.
    #[new]
    fn new(frame: &Bound<'_, PyAny>, columns: Py<PyDict>) -> PyResult<Self> {
        let bars = frame.len()?;
        let seen = Seen {
            length: bars,
            views: Vec::new(),
            own: None,
            whole_index: frame.getattr("index")?.unbind(),
            index: None,
            cut: None,
            pip: None,
        };
        Ok(Self { frame: frame.clone().unbind(), columns, bars, seen: Locked::new(seen) })
    }

    /// The run's own frame; none when nobody has asked for it, so that nobody can have changed it.
    #[getter]
    fn _own(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        Ok(self.seen.read()?.own.as_ref().map(|own| own.clone_ref(py)))
    }

    /// The run's own frame has changed, and `columns` with it.
    fn _update(&self, py: Python<'_>) -> PyResult<()> {
        self.forget_views(py)?;
        let index = self.frame(py)?.bind(py).getattr(intern!(py, "index"))?.unbind();
        let mut seen = self.seen.write()?;
        (seen.whole_index, seen.index, seen.cut) = (index, None, None);
        Ok(())
    }

    /// Called for names that are not set yet: a column becomes an attribute when first asked for.
    fn __getattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        match Self::column(slf, name)? {
            Some(array) => Ok(array),
            None if ALWAYS.iter().any(|known| name == known) => {
                Err(PyKeyError::new_err(name.clone().unbind()))
            }
            None => Err(PyAttributeError::new_err(format!("Column '{name}' not in data"))),
        }
    }

    fn __getitem__(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        if let Ok(name) = key.cast::<PyString>() {
            if let Some(array) = Self::held(slf, name)? {
                return Ok(array);
            }
            return Self::column(slf, name)?.ok_or_else(|| PyKeyError::new_err(key.clone().unbind()));
        }
        let data = slf.get();
        match data.columns.bind(slf.py()).get_item(key)? {
            Some(full) => Ok(first(&full, data.length()?)?.unbind()),
            None => Err(PyKeyError::new_err(key.clone().unbind())),
        }
    }

    fn __len__(&self) -> PyResult<usize> {
        self.length()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let shown = self.length()? + usize::from(rules().prints_next_bar);
        let frame = self.frame(py)?.into_bound(py);
        let last = shown.min(frame.len()?) - 1;
        let row = frame.getattr("iloc")?.get_item(last)?;
        let mut items = Vec::new();
        for item in row.call_method0("items")?.try_iter()? {
            let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item?.extract()?;
            items.push(format!("{}={}", name.str()?, value.str()?));
        }
        let time = self.whole_index(py)?.bind(py).get_item(last)?.str()?;
        Ok(format!("<Data i={last} ({time}) {}>", items.join(", ")))
    }

    /// The data frame up to the current bar.
    #[getter]
    fn df(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (length, frame) = (self.length()?, self.own_frame(py)?.into_bound(py));
        if length >= frame.len()? {
            return Ok(frame.unbind());
        }
        Ok(first_rows(frame.getattr(intern!(py, "iloc"))?, length)?.unbind())
    }

    /// The index up to the current bar.
    #[getter]
    fn index(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let mut seen = self.seen.write()?;
        if let Some((length, index)) = &seen.index
            && *length == seen.length
        {
            return Ok(index.clone_ref(py));
        }
        let cut = match &seen.cut {
            Some(cut) => cut.clone_ref(py),
            None => {
                let cutter = py.import(intern!(py, "backtesting._util"))?.getattr(intern!(py, "cutter"))?;
                cutter.call1((&seen.whole_index,))?.unbind()
            }
        };
        let index = cut.call1(py, (seen.length,))?;
        seen.cut = Some(cut);
        seen.index = Some((seen.length, index.clone_ref(py)));
        Ok(index)
    }

    /// The smallest price step by the closes' decimals.
    #[getter]
    fn pip(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(pip) = &self.seen.read()?.pip {
            return Ok(pip.clone_ref(py));
        }
        let close = self.columns.bind(py).as_any().get_item("Close")?;
        let mut decimals = Vec::new();
        for text in close.call_method1("astype", ("str",))?.try_iter()? {
            let text: String = text?.extract()?;
            decimals.push(text.split_once('.').map_or(0, |(_, after)| after.len()) as f64);
        }
        decimals.sort_by(f64::total_cmp);
        let n = decimals.len();
        let median = (decimals[(n - 1) / 2] + decimals[n / 2]) / 2.0;
        // The interpreter's own power, whose last bit scripts may compare.
        let pip = pyo3::types::PyFloat::new(py, 10.0).pow(-median, py.None())?.unbind();
        self.seen.write()?.pip = Some(pip.clone_ref(py));
        Ok(pip)
    }

    /// Shows the first `length` bars.
    #[pyo3(name = "_set_length")]
    fn set_length_from_python(slf: &Bound<'_, Self>, length: usize) -> PyResult<()> {
        slf.get().set_length(slf.py(), length.min(slf.get().bars))
    }
}

impl Data {
    /// Bars shown.
    pub fn length(&self) -> PyResult<usize> {
        Ok(self.seen.read()?.length)
    }

    /// The run's own frame, or the one it would be made of.
    fn frame(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.seen.read()?.own.as_ref().unwrap_or(&self.frame).clone_ref(py))
    }

    /// The run's own frame, made when it is first asked for.
    fn own_frame(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(own) = &self.seen.read()?.own {
            return Ok(own.clone_ref(py));
        }
        let own = self.frame.bind(py).call_method1(intern!(py, "copy"), (false,))?.unbind();
        self.seen.write()?.own = Some(own.clone_ref(py));
        Ok(own)
    }

    /// The whole index.
    pub fn whole_index(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.seen.read()?.whole_index.clone_ref(py))
    }

    /// Shows the first `length` bars.
    pub fn set_length(&self, py: Python<'_>, length: usize) -> PyResult<()> {
        let mut seen = self.seen.write()?;
        seen.length = length;
        let mut k = 0;
        while k < seen.views.len() {
            // A name that a script has set itself is its own from then on.
            if seen.views[k].advance(py, length)? == Held::Replaced {
                seen.views.swap_remove(k);
            } else {
                k += 1;
            }
        }
        Ok(())
    }

    /// Forgets which columns were asked for, so that the loop carries only those that `next` uses.
    pub fn forget_views(&self, py: Python<'_>) -> PyResult<()> {
        let views = std::mem::take(&mut self.seen.write()?.views);
        views.into_iter().try_for_each(|view| view.remove(py))
    }

    fn held(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<Option<Py<PyAny>>> {
        let dict = slf.getattr(intern!(slf.py(), "__dict__"))?.cast_into::<PyDict>()?;
        Ok(dict.get_item(name)?.map(Bound::unbind))
    }

    fn column(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<Option<Py<PyAny>>> {
        let (py, data) = (slf.py(), slf.get());
        let Some(full) = data.columns.bind(py).get_item(name)? else { return Ok(None) };
        let dict = slf.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?;
        let view = View::new(&dict, name, &full, data.length()?)?;
        let array = view.array().clone_ref(py);
        data.seen.write()?.views.push(view);
        Ok(Some(array))
    }
}

fn first_rows(rows: Bound<'_, PyAny>, length: usize) -> PyResult<Bound<'_, PyAny>> {
    rows.get_item(pyo3::types::PySlice::new(rows.py(), 0, length as isize, 1))
}
