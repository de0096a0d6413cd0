// A place is (number of the code object, instruction). Code objects that were met once are kept for ever, so that reading a thread's own frames
// needs neither the GIL nor a reference: what a frame of this thread shows cannot change under it.
#include "csrc/python/place.h"

#include <Python.h>

#include <array>
#include <mutex>
#include <unordered_map>

#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030C0000
#define Py_BUILD_CORE
#include <internal/pycore_frame.h>
#undef Py_BUILD_CORE
#define TORCH_HPU_FRAMES  // the layout of frames is Python 3.11's own
#endif

namespace torch_hpu::python {
namespace {

constexpr size_t kMaxCodes = 1 << 16;  // programs that make code without end have no places after that many
constexpr int kMaxDepth = 64;

struct Code {
  PyCodeObject* object;
  std::string file;
  bool library;
};

struct Codes {
  std::mutex mutex;
  std::vector<std::string> library_folders;
  std::unordered_map<PyCodeObject*, uint32_t> numbers;  // 1, 2, ...
  std::vector<Code> codes{{}};
};

Codes& codes() {
  static auto* instance = new Codes;
  return *instance;
}

#ifdef TORCH_HPU_FRAMES

// What a thread knows of a code object.
struct Known {
  PyCodeObject* object = nullptr;
  uint32_t number = 0;
  bool library = false;
};

Known meet(PyCodeObject* object) {
  Codes& c = codes();
  {
    std::lock_guard<std::mutex> lock(c.mutex);
    if (auto it = c.numbers.find(object); it != c.numbers.end()) {
      return {object, it->second, c.codes[it->second].library};
    }
    if (c.codes.size() >= kMaxCodes) {
      return {object, 0, false};
    }
  }
  const PyGILState_STATE gil = PyGILState_Ensure();
  const char* name = PyUnicode_AsUTF8(object->co_filename);
  Code code{object, name != nullptr ? name : "?", false};
  PyErr_Clear();
  Py_INCREF(object);
  PyGILState_Release(gil);
  std::lock_guard<std::mutex> lock(c.mutex);
  for (const std::string& folder : c.library_folders) {
    code.library = code.library || code.file.compare(0, folder.size(), folder) == 0;
  }
  const auto [it, added] = c.numbers.try_emplace(object, static_cast<uint32_t>(c.codes.size()));
  if (added) {
    c.codes.push_back(std::move(code));
  }
  return {object, it->second, c.codes[it->second].library};
}

const Known& known(PyCodeObject* object) {
  thread_local std::array<Known, 512> cache;
  Known& k = cache[reinterpret_cast<uintptr_t>(object) / 64 % cache.size()];
  if (k.object != object) {
    k = meet(object);
  }
  return k;
}

#endif

}  // namespace

void set_library_folders(std::vector<std::string> folders) {
  std::lock_guard<std::mutex> lock(codes().mutex);
  codes().library_folders = std::move(folders);
}

uint64_t here() {
#ifdef TORCH_HPU_FRAMES
  const PyThreadState* thread = Py_IsInitialized() ? PyGILState_GetThisThreadState() : nullptr;
  if (thread == nullptr) {
    return 0;
  }
  uint64_t innermost = 0;
  int depth = 0;
  for (_PyInterpreterFrame* f = thread->cframe->current_frame; f != nullptr && depth < kMaxDepth; f = f->previous, ++depth) {
    if (_PyFrame_IsIncomplete(f)) {
      continue;
    }
    const Known& code = known(f->f_code);
    const uint64_t place = static_cast<uint64_t>(code.number) << 32 | static_cast<uint32_t>(_PyInterpreterFrame_LASTI(f));
    if (code.number != 0 && !code.library) {
      return place;
    }
    if (innermost == 0 && code.number != 0) {
      innermost = place;
    }
  }
  return innermost;
#else
  return 0;
#endif
}

std::string text(uint64_t place) {
  std::lock_guard<std::mutex> lock(codes().mutex);
  const Code& code = codes().codes.at(place >> 32);
  const auto instruction = static_cast<int>(static_cast<uint32_t>(place));
  return code.file + ":" + std::to_string(PyCode_Addr2Line(code.object, instruction * static_cast<int>(sizeof(uint16_t))));
}

}  // namespace torch_hpu::python
