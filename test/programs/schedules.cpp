// schedules OPTIONS.json: prints the learning rate of every step of a schedule, one a line. Options: type, warmup_steps, training_steps, lr, kwargs, and
// metrics (a list: one evaluation after each step) for reduce_lr_on_plateau.
#include <c10/util/Exception.h>
#include <torch_hpu/lr_scheduler.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

int main(int argc, char** argv) {
  try {
    std::ifstream in(argv[1]);
    const auto json = nlohmann::json::parse(in);
    torch_hpu::LRSchedulerOptions options{json.at("type"), json.at("warmup_steps"), json.at("training_steps"), json.at("kwargs")};
    torch_hpu::LRScheduler scheduler(options, {json.at("lr").get<double>()});
    for (int64_t step = 0; step < options.training_steps; ++step) {
      std::printf("%.17g\n", scheduler.lrs().front());
      scheduler.step();
      if (scheduler.wants_metric()) {
        scheduler.step(json.at("metrics").at(static_cast<size_t>(step)).get<double>());
      }
      if (step == options.training_steps / 2) {  // a saved state goes on alike
        torch_hpu::LRScheduler other(options, {json.at("lr").get<double>()});
        other.load_state(scheduler.state());
        scheduler = other;
      }
    }
    return 0;
  } catch (const c10::Error& e) {
    std::fprintf(stderr, "%s\n", e.what_without_backtrace());
    return 1;
  }
}
