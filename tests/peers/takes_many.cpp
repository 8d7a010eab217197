// Multicasts to itself through libcpg and dispatches until all messages have arrived: takes_many MODE COUNT
//
// MODE: one, one_nonblocking, all, blocking (as in cpg_dispatch(3)), nested (callbacks dispatch), slow (all,
// with callbacks so slow that events always wait), unread (dispatches nothing). Another thread multicasts as
// fast as the service accepts it. Prints how many messages arrived.
#include <corosync/cpg.h>

#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

namespace {

long wanted = 0;
std::atomic<long> came{0};
bool nested = false, slow = false;
int depth = 0;
cpg_handle_t handle = 0;

void delivered(cpg_handle_t h, const cpg_name*, std::uint32_t, std::uint32_t, void*, std::size_t) {
  if (++came == wanted) {
    ::cpg_finalize(h);
    return;
  }
  if (slow) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(20);
    while (std::chrono::steady_clock::now() < end) {
    }
  }
  if (nested && depth < 3) {
    ++depth;
    ::cpg_dispatch(h, CS_DISPATCH_ONE_NONBLOCKING);
    --depth;
  }
}

void multicast_all() {
  static const char text[32] = {};
  const iovec part{const_cast<char*>(text), sizeof text};
  for (long sent = 0; sent < wanted;) {
    const cs_error_t code = ::cpg_mcast_joined(handle, CPG_TYPE_AGREED, &part, 1);
    if (code == CS_OK) {
      ++sent;
    } else if (code == CS_ERR_TRY_AGAIN) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    } else {
      std::exit(3);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    return 2;
  }
  const std::string mode = argv[1];
  wanted = std::atol(argv[2]);
  nested = mode == "nested";
  slow = mode == "slow";
  cpg_model_v1_data_t model{};
  model.model = CPG_MODEL_V1;
  model.cpg_deliver_fn = &delivered;
  if (::cpg_model_initialize(&handle, CPG_MODEL_V1, reinterpret_cast<cpg_model_data_t*>(&model), nullptr) !=
      CS_OK) {
    return 3;
  }
  cpg_name name{};
  name.length = static_cast<std::uint32_t>(
      std::snprintf(name.value, sizeof name.value, "takes many %d", static_cast<int>(::getpid())));
  cs_error_t joined = CS_ERR_TRY_AGAIN;
  while ((joined = ::cpg_join(handle, &name)) == CS_ERR_TRY_AGAIN) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (joined != CS_OK) {
    return 3;
  }
  std::thread sender(multicast_all);
  if (mode == "unread") {
    sender.join();
    std::printf("0 of %ld\n", wanted);
    return 0;
  }
  cs_error_t code = CS_OK;
  if (mode == "blocking") {
    code = ::cpg_dispatch(handle, CS_DISPATCH_BLOCKING);
  } else {
    const auto how = mode == "all" || slow       ? CS_DISPATCH_ALL
                     : mode == "one_nonblocking" ? CS_DISPATCH_ONE_NONBLOCKING
                                                 : CS_DISPATCH_ONE;
    while (code == CS_OK || code == CS_ERR_TRY_AGAIN) {
      code = ::cpg_dispatch(handle, how);
    }
  }
  sender.join();
  std::printf("%ld of %ld\n", came.load(), wanted);
  return came == wanted ? 0 : 1;
}
