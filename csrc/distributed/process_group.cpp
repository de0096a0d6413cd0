// The process's own group, behind torch_hpu/distributed.h: hccl for hpu tensors, and Gloo for those on the CPU.
#include <ATen/ATen.h>
#include <torch_hpu/distributed.h>

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <charconv>
#include <cstdlib>

#include "csrc/distributed/backend.h"
#include "csrc/distributed/gloo.h"

namespace torch_hpu {
namespace {

struct Group {
  int rank = 0, local_rank = 0, size = 1;
  c10::intrusive_ptr<distributed::HcclBackend> hpu;
  c10::intrusive_ptr<c10d::Backend> cpu;
};

std::mutex mutex;

// Of a process that ends without leaving its group the engine's threads may be waiting for others: it is not destroyed then.
std::shared_ptr<Group>& current() {
  static auto* group = new std::shared_ptr<Group>;
  return *group;
}

std::shared_ptr<Group> find_group() {
  std::lock_guard<std::mutex> lock(mutex);
  return current();
}

std::shared_ptr<Group> group_for(const char* name) {
  auto group = find_group();
  TORCH_CHECK(group != nullptr, "[", name,
              "] there is no process group: call init_process_group_from_env() in a process that a launcher started");
  return group;
}

const char* text_of(const char* variable) {
  const char* text = std::getenv(variable);
  TORCH_CHECK(text != nullptr && *text != '\0', "[init_process_group_from_env] ", variable,
              " is not set, although WORLD_SIZE is. Start the program by torchrun or tools/launch.py.");
  return text;
}

int number_of(const char* variable) {
  const std::string text = text_of(variable);
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  TORCH_CHECK_VALUE(error == std::errc() && end == text.data() + text.size(), "[init_process_group_from_env] ", variable, ": got '", text,
                    "', expected a whole number");
  return value;
}

c10d::ReduceOp op_of(Reduce reduce) {
  using Op = c10d::ReduceOp;
  switch (reduce) {
    case Reduce::kSum:
      return Op::SUM;
    case Reduce::kMean:
      return Op::AVG;
    case Reduce::kProduct:
      return Op::PRODUCT;
    case Reduce::kMin:
      return Op::MIN;
    case Reduce::kMax:
      return Op::MAX;
  }
  TORCH_CHECK(false, "unknown reduction");
}

bool on_hpu(const at::Tensor& t) {
  TORCH_CHECK(t.defined() && (t.is_cpu() || t.device().type() == c10::DeviceType::PrivateUse1), "got a tensor on ",
              t.defined() ? t.device().str() : "no device", ", expected one on hpu or on the CPU");
  return !t.is_cpu();
}

// Waits for the engine; its errors get the names of ranks.
void finish(const Group& group, const char* name, const c10::intrusive_ptr<c10d::Work>& work) {
  std::string message;
  try {
    work->wait();
    return;
  } catch (const c10::Error& e) {
    message = e.what_without_backtrace();
  } catch (const std::exception& e) {
    message = e.what();
  }
  std::rethrow_exception(group.hpu->explain(name)(message));
}

c10::intrusive_ptr<c10d::Work> on_cpu(const Group& group, const char* name, const std::function<c10::intrusive_ptr<c10d::Work>()>& call) {
  group.hpu->entered(name);
  return call();
}

}  // namespace

bool init_process_group_from_env(std::chrono::milliseconds timeout) {
  const char* world = std::getenv("WORLD_SIZE");
  if (world == nullptr || *world == '\0') {
    return false;
  }
  TORCH_CHECK(find_group() == nullptr, "[init_process_group_from_env] the process has a group already");
  auto group = std::make_shared<Group>();
  group->size = number_of("WORLD_SIZE");
  group->rank = number_of("RANK");
  group->local_rank = std::getenv("LOCAL_RANK") == nullptr ? group->rank : number_of("LOCAL_RANK");
  TORCH_CHECK_VALUE(group->size > 0 && group->rank >= 0 && group->rank < group->size, "[init_process_group_from_env] got RANK ",
                    group->rank, " of WORLD_SIZE ", group->size, ", expected 0 to ", group->size - 1);
  c10d::TCPStoreOptions options;
  const int port = number_of("MASTER_PORT");
  TORCH_CHECK_VALUE(port > 0 && port < 65536, "[init_process_group_from_env] MASTER_PORT: got ", port, ", expected 1 to 65535");
  options.port = static_cast<uint16_t>(port);
  const char* agent = std::getenv("TORCHELASTIC_USE_AGENT_STORE");  // torchrun holds the store itself
  options.isServer = group->rank == 0 && (agent == nullptr || std::string(agent) != "True");
  options.numWorkers = group->size;
  options.waitWorkers = false;
  options.timeout = timeout;
  const auto store = c10::make_intrusive<c10d::TCPStore>(text_of("MASTER_ADDR"), options);
  // torchrun keeps its store when it starts the ranks anew.
  const char* restarts = std::getenv("TORCHELASTIC_RESTART_COUNT");
  const std::string prefix = std::string("torch_hpu/") + (restarts == nullptr ? "" : restarts);
  const auto named = [&](const char* name) { return c10::make_intrusive<c10d::PrefixStore>(prefix + name, store); };
  group->hpu = c10::make_intrusive<distributed::HcclBackend>(named("/hpu"), group->rank, group->size, timeout, std::vector<int64_t>());
  group->cpu = distributed::make_gloo(named("/cpu"), group->rank, group->size, timeout);
  std::lock_guard<std::mutex> lock(mutex);
  current() = std::move(group);
  return true;
}

void destroy_process_group() {
  std::shared_ptr<Group> group;
  {
    std::lock_guard<std::mutex> lock(mutex);
    group.swap(current());
  }
  if (group != nullptr) {
    group->hpu->shutdown();
  }
}

bool is_distributed() {
  return find_group() != nullptr;
}
int rank() {
  const auto group = find_group();
  return group == nullptr ? 0 : group->rank;
}
int local_rank() {
  const auto group = find_group();
  return group == nullptr ? 0 : group->local_rank;
}
int world_size() {
  const auto group = find_group();
  return group == nullptr ? 1 : group->size;
}

void broadcast(const at::Tensor& tensor, int source) {
  const auto group = group_for("broadcast");
  TORCH_CHECK_VALUE(source >= 0 && source < group->size, "[broadcast] source: got rank ", source, ", expected 0 to ", group->size - 1);
  c10d::BroadcastOptions options;
  options.rootRank = source;
  if (on_hpu(tensor)) {
    std::vector<at::Tensor> one{tensor};
    group->hpu->broadcast(one, options);
    return;
  }
  const at::NoGradGuard no_grad;
  const at::Tensor values = tensor.contiguous();
  std::vector<at::Tensor> bytes{values.numel() == 0 ? values : values.view({-1}).view(at::kByte)};
  finish(*group, "broadcast", on_cpu(*group, "broadcast", [&] { return group->cpu->broadcast(bytes, options); }));
  if (!values.is_same(tensor)) {
    tensor.copy_(values);
  }
}

Pending all_reduce_async(const at::Tensor& tensor, Reduce reduce) {
  const auto group = group_for("all_reduce");
  c10d::AllreduceOptions options;
  options.reduceOp = op_of(reduce);
  if (on_hpu(tensor)) {
    std::vector<at::Tensor> one{tensor};
    const auto work = group->hpu->allreduce(one, options);
    return Pending([work] { work->wait(); });
  }
  const at::NoGradGuard no_grad;
  const distributed::Reduction reduction("all_reduce", options.reduceOp, tensor.scalar_type());
  const at::Tensor values = reduction.enter(tensor);
  options.reduceOp = reduction.engine_op();
  std::vector<at::Tensor> view{values.dim() == 0 ? values.view({1}) : values};
  view[0] = view[0].view(reduction.view());
  const auto work = on_cpu(*group, "all_reduce", [&] { return group->cpu->allreduce(view, options); });
  return Pending([group, work, reduction, values, tensor, left = std::make_shared<bool>(false)] {
    finish(*group, "all_reduce", work);
    if (!std::exchange(*left, true)) {
      const at::NoGradGuard no_grad;
      reduction.leave(values, tensor, group->size);
    }
  });
}

void all_reduce(const at::Tensor& tensor, Reduce reduce) {
  all_reduce_async(tensor, reduce).wait();
}

at::Tensor all_gather(const at::Tensor& tensor) {
  const auto group = group_for("all_gather");
  const at::NoGradGuard no_grad;
  const at::Tensor values = tensor.detach().contiguous();
  std::vector<int64_t> sizes = values.sizes().vec();
  sizes.insert(sizes.begin(), group->size);
  at::Tensor gathered = at::empty(sizes, values.options());
  if (on_hpu(tensor)) {
    at::Tensor own = values;
    group->hpu->_allgather_base(gathered, own, {});
  } else if (values.numel() > 0) {
    at::Tensor own = values.view({-1}).view(at::kByte), all = gathered.view({-1}).view(at::kByte);
    finish(*group, "all_gather", on_cpu(*group, "all_gather", [&] { return group->cpu->_allgather_base(all, own, {}); }));
  }
  return gathered;
}

void barrier() {
  const auto group = group_for("barrier");
  group->hpu->barrier({})->wait();
}

}  // namespace torch_hpu
