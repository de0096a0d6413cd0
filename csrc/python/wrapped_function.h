// What wrap_in_hpu_graph puts in the place of a function, and synchronize(): called so often that pybind's way into C++ would show.
#pragma once

#include <pybind11/pybind11.h>

namespace torch_hpu::python {

void bind_wrapped_function(pybind11::module_& m);

}  // namespace torch_hpu::python
