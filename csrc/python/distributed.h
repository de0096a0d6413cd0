// Bindings of torch_hpu/process_group.h.
#pragma once

#include <pybind11/pybind11.h>

namespace torch_hpu::python {

void bind_distributed(pybind11::module_& module);

}  // namespace torch_hpu::python
