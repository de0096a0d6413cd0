// The extension module torch_hpu._C: the public C++ surface for Python, no logic.
#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <torch_hpu/binding.h>
#include <torch_hpu/compile_cache.h>
#include <torch_hpu/device.h>
#include <torch_hpu/graph_call.h>
#include <torch_hpu/hpu_graph.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/memory.h>
#include <torch_hpu/metrics.h>
#include <torch_hpu/profile.h>
#include <torch_hpu/random.h>
#include <torch_hpu/static_inputs.h>

#include <torch/csrc/Generator.h>
#include <torch/csrc/utils/pybind.h>

#include "csrc/python/distributed.h"
#include "csrc/python/place.h"
#include "csrc/python/wrapped_function.h"

namespace py = pybind11;
using namespace torch_hpu;

namespace {

// A thread that waits for the device gives up the GIL; one that does not hold it has nothing to give.
void* release_gil() {
  return Py_IsInitialized() && PyGILState_Check() ? PyEval_SaveThread() : nullptr;
}
void acquire_gil(void* state) {
  PyEval_RestoreThread(static_cast<PyThreadState*>(state));
}

// A 0-dim tensor that obeys the type rules of a Python number.
at::Tensor wrapped_number(const at::Tensor& tensor) {
  tensor.unsafeGetTensorImpl()->set_wrapped_number(true);
  return tensor;
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  install_interpreter({&release_gil, &acquire_gil, &python::here, &python::text});
  m.def("set_library_folders", &python::set_library_folders);
  python::bind_distributed(m);

  m.def("device_count", &device_count);
  m.def("current_device", &current_device);
  m.def("set_device", &set_device);
  m.def("is_in_bad_fork", &is_in_bad_fork);
  m.def("mark_step", &mark_step);

  m.def("set_option", &set_option);
  m.def("get_option", &get_option);
  m.def("options_help", &options_help);
  m.def("exchange_eager_mode", &exchange_eager_mode);

  m.def("compile_cache_enabled", &compile_cache_enabled);
  m.def("compile_cache_folder", &compile_cache_folder);
  m.def("compile_cache_files", [](bool check) {
    std::vector<std::tuple<std::string, int64_t, int64_t, bool>> files;
    for (const CompileCacheFile& f : compile_cache_files(check)) {
      files.emplace_back(f.name, f.nbytes, f.last_use, f.intact);
    }
    return files;
  });
  m.def("prune_compile_cache", &prune_compile_cache);

  m.def("metrics_snapshot", &metrics_snapshot);
  m.def("metrics_details", &metrics_details);
  m.def("reset_metrics", &reset_metrics);
  m.def("op_classes", &op_classes);
  m.def("compilation_reasons", &compilation_reasons);
  m.def("start_trace", &start_trace);
  m.def("stop_trace", &stop_trace);
  m.def("kernel_table", &kernel_table);

  m.def("memory_stats", &memory_stats);
  m.def("reset_peak_memory_stats", &reset_peak_memory_stats);
  m.def("empty_cache", &empty_cache);
  m.def("mem_get_info", &mem_get_info);
  m.def("default_generator", [](int device) { return py::reinterpret_steal<py::object>(THPGenerator_Wrap(default_generator(device))); });

  m.def("graph_pool_handle", &graph_pool_handle);
  m.def("is_current_stream_capturing", &is_current_stream_capturing);
  m.def("graph_table", &graph_table);
  m.def("wrapped_number", &wrapped_number);
  py::enum_<CaptureMode>(m, "CaptureMode")
      .value("GLOBAL", CaptureMode::kGlobal)
      .value("THREAD_LOCAL", CaptureMode::kThreadLocal)
      .value("RELAXED", CaptureMode::kRelaxed);
  py::class_<HPUGraph>(m, "_HPUGraph")
      .def(py::init<>())
      .def("capture_begin", &HPUGraph::capture_begin)
      .def("capture_end", &HPUGraph::capture_end)
      .def("capture_abort", &HPUGraph::capture_abort)
      .def("replay", &HPUGraph::replay)
      .def("rebind", &HPUGraph::rebind, py::arg("captured"), py::arg("replacement"))
      .def("reset", &HPUGraph::reset)
      .def("uses", &HPUGraph::uses)
      .def("register_generator_state", &HPUGraph::register_generator_state)
      .def("enable_debug_mode", &HPUGraph::enable_debug_mode)
      .def("difference", &HPUGraph::difference)
      .def("pool", &HPUGraph::pool)
      .def("captured", &HPUGraph::captured)
      .def("debug_dump", &HPUGraph::debug_dump)
      .def("statistics", &HPUGraph::statistics);
  py::class_<StaticInputs>(m, "StaticInputs")
      .def(py::init<const std::vector<at::Tensor>&>())
      .def("tensors", &StaticInputs::tensors)
      .def_static("signature", &StaticInputs::signature);
  py::class_<GraphCall>(m, "GraphCall")
      .def(py::init<HPUGraph&, StaticInputs, std::vector<at::Tensor>>(), py::keep_alive<1, 2>())
      .def("__call__", &GraphCall::operator());
  python::bind_wrapped_function(m);
}
