#include "peers/libcpg_member.hpp"

#include <sys/uio.h>

#include <chrono>
#include <stdexcept>
#include <thread>
#include <utility>

#include <fmt/format.h>

namespace cpgring::bench {

void must(cs_error_t code, const char* what) {
  if (code != CS_OK) {
    throw std::runtime_error(fmt::format("libcpg: {} returned {}", what, static_cast<int>(code)));
  }
}

libcpg_member::libcpg_member(const std::string& group, cpg_deliver_fn_t deliver, cpg_confchg_fn_t changed) {
  cpg_model_v1_data_t model{};
  model.model = CPG_MODEL_V1;
  model.cpg_deliver_fn = deliver;
  model.cpg_confchg_fn = changed;
  must(::cpg_model_initialize(&handle_, CPG_MODEL_V1, reinterpret_cast<cpg_model_data_t*>(&model), nullptr),
       "cpg_model_initialize");
  cpg_name name{};
  name.length = static_cast<std::uint32_t>(group.copy(name.value, sizeof name.value));
  cs_error_t joined = CS_ERR_TRY_AGAIN;
  for (int attempt = 0; attempt < 10000 && (joined = ::cpg_join(handle_, &name)) == CS_ERR_TRY_AGAIN;
       ++attempt) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (joined != CS_OK) {
    ::cpg_finalize(handle_);
    must(joined, "cpg_join");
  }
}

libcpg_member::~libcpg_member() {
  if (handle_ != 0) {
    ::cpg_finalize(handle_);
  }
}

libcpg_member::libcpg_member(libcpg_member&& other) noexcept : handle_(std::exchange(other.handle_, 0)) {}

bool libcpg_member::multicast(std::string_view payload) {
  const iovec part{const_cast<char*>(payload.data()), payload.size()};
  const auto code = ::cpg_mcast_joined(handle_, CPG_TYPE_AGREED, &part, 1);
  if (code != CS_ERR_TRY_AGAIN) {
    must(code, "cpg_mcast_joined");
  }
  return code == CS_OK;
}

void libcpg_member::multicast_retrying(std::string_view payload) {
  while (!multicast(payload)) {
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
}

}  // namespace cpgring::bench
