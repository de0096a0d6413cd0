#include "csrc/lazy/place.h"

namespace torch_hpu::lazy {
namespace {

PlaceHooks place_hooks;

}  // namespace

void install_place_hooks(PlaceHooks hooks) {
  place_hooks = hooks;
}

uint64_t this_place() {
  return place_hooks.here != nullptr ? place_hooks.here() : 0;
}

std::string place_text(uint64_t place) {
  return place == 0 ? "" : place_hooks.text(place);
}

std::string recorded_at(uint64_t place) {
  return place == 0 ? "" : ", recorded at " + place_text(place);
}

}  // namespace torch_hpu::lazy
