// The functions of <corosync/cpg.h>, on top of client.hpp. Their man pages describe them; docs/libcpg.md
// lists the differences.
//
// No exception of this library crosses this boundary: running out of memory is CS_ERR_NO_MEMORY. An exception
// of a C++ program's callback leaves cpg_dispatch, as with stock libcpg. A cancelled thread unwinds through
// all of these functions, so none of them is noexcept.
#include <corosync/cpg.h>
#include <pthread.h>

#include <exception>
#include <memory>
#include <new>
#include <span>
#include <system_error>

#include "compat/cancellation.hpp"
#include "compat/client.hpp"
#include "compat/codes.hpp"
#include "compat/handle_table.hpp"
#include "compat/visits.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::compat;

struct iteration {
  std::shared_ptr<client> of;
  std::uint64_t number;  // as the service knows it
};

// Never destroyed: at exit, a thread of the program may still be inside a call.
handle_table<client>& handles() {
  static auto& table = *new handle_table<client>();
  return table;
}
handle_table<iteration>& iterations() {
  static auto& table = *new handle_table<iteration>();
  return table;
}

// A C program may pass any int for an enum.
#define CPGRING_ANY_ENUM __attribute__((no_sanitize("enum")))

template <class Call>
cs_error_t guarded(Call&& call) {
  const uncancelled inside;
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return CS_ERR_NO_MEMORY;
  } catch (const std::exception&) {
    // Not (...): that would also catch the unwinding of a cancelled thread.
    return CS_ERR_LIBRARY;
  }
}

/// Like guarded(), for calls that may wait: a cancelled thread ends here, before anything else, or where it
/// waits.
template <class Call>
cs_error_t guarded_wait(Call&& call) {
  ::pthread_testcancel();
  return guarded(std::forward<Call>(call));
}

/// Returns a function that runs call(client&) if the handle is open in this process.
template <class Call>
auto on(cpg_handle_t handle, Call&& call) {
  return [handle, call = std::forward<Call>(call)] {
    const auto found = handles().find(handle);
    return found == nullptr ? CS_ERR_BAD_HANDLE : call(*found);
  };
}

template <class Call>
cs_error_t with(cpg_handle_t handle, Call&& call) {
  return guarded(on(handle, std::forward<Call>(call)));
}

template <class Call>
cs_error_t wait_with(cpg_handle_t handle, Call&& call) {
  return guarded_wait(on(handle, std::forward<Call>(call)));
}

cs_error_t open(cpg_handle_t* handle, const callback_set& calls, void* context) {
  return guarded_wait([&] {
    if (handle == nullptr) {
      return CS_ERR_INVALID_PARAM;
    }
    auto opened = client::open(calls, context);
    if (!opened) {
      return code_of(opened.error());
    }
    *handle = handles().insert(*opened);
    (*opened)->set_number(*handle);
    return CS_OK;
  });
}

}  // namespace

extern "C" {

cs_error_t cpg_initialize(cpg_handle_t* handle, cpg_callbacks_t* callbacks) {
  callback_set calls;
  if (callbacks != nullptr) {
    calls.deliver = callbacks->cpg_deliver_fn;
    calls.confchg = callbacks->cpg_confchg_fn;
  }
  return open(handle, calls, nullptr);
}

CPGRING_ANY_ENUM cs_error_t cpg_model_initialize(cpg_handle_t* handle, cpg_model_t model,
                                                 cpg_model_data_t* model_data, void* context) {
  if (model != CPG_MODEL_V1) {
    return CS_ERR_INVALID_PARAM;
  }
  callback_set calls;
  if (model_data != nullptr) {
    const auto* v1 = reinterpret_cast<const cpg_model_v1_data_t*>(model_data);
    if ((v1->flags & ~static_cast<unsigned>(CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF)) != 0) {
      return CS_ERR_INVALID_PARAM;
    }
    calls = {v1->cpg_deliver_fn, v1->cpg_confchg_fn, v1->cpg_totem_confchg_fn, v1->flags};
  }
  return open(handle, calls, context);
}

cs_error_t cpg_finalize(cpg_handle_t handle) {
  const void* const frame = __builtin_frame_address(0);
  return guarded_wait([&] {
    visits::of_this_thread().sweep(frame);  // callbacks that were left by longjmp() still hold the handle
    const auto taken = handles().take(handle);
    return taken == nullptr ? CS_ERR_BAD_HANDLE : taken->finalize();
  });
}

cs_error_t cpg_fd_get(cpg_handle_t handle, int* fd) {
  return with(handle, [&](client& c) {
    if (fd == nullptr) {
      return CS_ERR_INVALID_PARAM;
    }
    *fd = c.fd();
    return CS_OK;
  });
}

cs_error_t cpg_max_atomic_msgsize_get(cpg_handle_t handle, uint32_t* size) {
  return with(handle, [&](client&) {
    if (size == nullptr) {
      return CS_ERR_INVALID_PARAM;
    }
    *size = atomic_max;
    return CS_OK;
  });
}

cs_error_t cpg_context_get(cpg_handle_t handle, void** context) {
  return with(handle, [&](client& c) {
    if (context == nullptr) {
      return CS_ERR_INVALID_PARAM;
    }
    *context = c.context.load(std::memory_order_relaxed);
    return CS_OK;
  });
}

cs_error_t cpg_context_set(cpg_handle_t handle, void* context) {
  return with(handle, [&](client& c) {
    c.context.store(context, std::memory_order_relaxed);
    return CS_OK;
  });
}

CPGRING_ANY_ENUM cs_error_t cpg_dispatch(cpg_handle_t handle, cs_dispatch_flags_t dispatch_types) {
  const int how = static_cast<int>(dispatch_types);
  const void* const frame = __builtin_frame_address(0);
  client* of = nullptr;
  visit* here = nullptr;
  const cs_error_t e = guarded_wait([&] {
    auto found = handles().find(handle);
    if (found == nullptr) {
      return CS_ERR_BAD_HANDLE;
    }
    of = found.get();
    here = &visits::of_this_thread().begin(frame, std::move(found));
    return CS_OK;
  });
  if (e != CS_OK) {
    return e;
  }
  // Not run if a callback leaves by longjmp(): the thread's next call then ends the visit.
  const struct end_of_visit {
    visit& which;
    ~end_of_visit() noexcept(false) {
      const uncancelled off;
      visits::of_this_thread().end(which);
    }
  } guard{*here};
  return of->dispatch(how, *here);
}

cs_error_t cpg_join(cpg_handle_t handle, const struct cpg_name* group) {
  return wait_with(handle,
                   [&](client& c) { return group == nullptr ? CS_ERR_INVALID_PARAM : c.join(*group); });
}

cs_error_t cpg_leave(cpg_handle_t handle, const struct cpg_name* group) {
  return wait_with(handle,
                   [&](client& c) { return group == nullptr ? CS_ERR_INVALID_PARAM : c.leave(*group); });
}

cs_error_t cpg_mcast_joined(cpg_handle_t handle, cpg_guarantee_t /* all are agreed */,
                            const struct iovec* iovec, unsigned int iov_len) {
  return wait_with(handle, [&](client& c) {
    return iovec == nullptr && iov_len != 0 ? CS_ERR_INVALID_PARAM : c.multicast(std::span(iovec, iov_len));
  });
}

cs_error_t cpg_membership_get(cpg_handle_t handle, struct cpg_name* group, struct cpg_address* member_list,
                              int* member_list_entries) {
  return wait_with(handle, [&](client& c) {
    return group == nullptr || member_list == nullptr || member_list_entries == nullptr
               ? CS_ERR_INVALID_PARAM
               : c.membership(*group, member_list, *member_list_entries);
  });
}

cs_error_t cpg_local_get(cpg_handle_t handle, unsigned int* local_nodeid) {
  return wait_with(handle, [&](client& c) {
    return local_nodeid == nullptr ? CS_ERR_INVALID_PARAM : c.local_node(*local_nodeid);
  });
}

cs_error_t cpg_flow_control_state_get(cpg_handle_t handle, cpg_flow_control_state_t* flow_control_enabled) {
  return with(handle, [&](client&) {
    if (flow_control_enabled == nullptr) {
      return CS_ERR_INVALID_PARAM;
    }
    // As always in stock libcpg: programs spin on the other value.
    *flow_control_enabled = CPG_FLOW_CONTROL_DISABLED;
    return CS_OK;
  });
}

cs_error_t cpg_zcb_alloc(cpg_handle_t handle, size_t size, void** buffer) {
  return with(handle, [&](client& c) {
    if (buffer == nullptr) {
      return CS_ERR_INVALID_PARAM;
    }
    *buffer = c.take_buffer(size);
    return CS_OK;
  });
}

cs_error_t cpg_zcb_free(cpg_handle_t handle, void* buffer) {
  return with(handle, [&](client& c) { return c.give_buffer(buffer) ? CS_OK : CS_ERR_INVALID_PARAM; });
}

cs_error_t cpg_zcb_mcast_joined(cpg_handle_t handle, cpg_guarantee_t /* all are agreed */, void* msg,
                                size_t msg_len) {
  return wait_with(handle, [&](client& c) {
    constexpr size_t stock_max = 1048576;
    return msg_len > stock_max ? CS_ERR_TOO_BIG : c.multicast_buffer(msg, msg_len);
  });
}

CPGRING_ANY_ENUM cs_error_t cpg_iteration_initialize(cpg_handle_t handle, cpg_iteration_type_t iteration_type,
                                                     const struct cpg_name* group,
                                                     cpg_iteration_handle_t* cpg_iteration_handle) {
  const int type = static_cast<int>(iteration_type);
  return guarded_wait([&] {
    const auto of = handles().find(handle);
    if (of == nullptr) {
      return CS_ERR_BAD_HANDLE;
    }
    const bool one_group = type == CPG_ITERATION_ONE_GROUP;
    if (cpg_iteration_handle == nullptr || type < CPG_ITERATION_NAME_ONLY || type > CPG_ITERATION_ALL ||
        one_group != (group != nullptr)) {
      return CS_ERR_INVALID_PARAM;
    }
    std::uint64_t number = 0;
    if (const cs_error_t e = of->begin_iteration(type, group, number); e != CS_OK) {
      return e;
    }
    *cpg_iteration_handle = iterations().insert(std::make_shared<iteration>(iteration{of, number}));
    return CS_OK;
  });
}

cs_error_t cpg_iteration_next(cpg_iteration_handle_t handle,
                              struct cpg_iteration_description_t* description) {
  return guarded_wait([&] {
    const auto found = iterations().find(handle);
    if (description == nullptr) {
      return CS_ERR_INVALID_PARAM;
    }
    return found == nullptr ? CS_ERR_BAD_HANDLE : found->of->next_of_iteration(found->number, *description);
  });
}

cs_error_t cpg_iteration_finalize(cpg_iteration_handle_t handle) {
  return guarded_wait([&] {
    const auto taken = iterations().take(handle);
    return taken == nullptr ? CS_ERR_BAD_HANDLE : taken->of->end_iteration(taken->number);
  });
}

}  // extern "C"
