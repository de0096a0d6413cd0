#include "csrc/python/distributed.h"

#include <pybind11/chrono.h>
#include <pybind11/stl.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <torch/csrc/utils/pybind.h>
#include <torch_hpu/process_group.h>

namespace torch_hpu::python {

// torch.distributed must be loaded before it is called: the types Store and Backend are bound there.
void bind_distributed(pybind11::module_& module) {
  module.def("_make_hccl_backend", &make_hccl_backend, pybind11::call_guard<pybind11::gil_scoped_release>());
}

}  // namespace torch_hpu::python
