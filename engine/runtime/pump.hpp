// One turn of one handle: the spine that a message follows. Read pump.cpp first.
//
// Called by the reactor (D2); calls D3, D4, D5-D8, D9 in a row. The reactor's thread only.
// Invariants: I1 what a turn takes is bounded by its budget. I2 chunks go back to the ring in order and only after their callbacks. I3 a
// notice that an event caused is delivered before the next event. I4 after the handle has ended no callback of it runs from here.
#pragma once

#include <cstdint>

#include <cpgring/event.hpp>
#include <cpgring/handle.hpp>

#include "cpg/codec.hpp"
#include "dispatch/descriptor.hpp"
#include "dispatch/release_count.hpp"
#include "reactor/source.hpp"

namespace cpgring::runtime {

class endpoint;

class pump final : public reactor::source {
 public:
  explicit pump(endpoint& owner) noexcept : owner_(owner) {}

  reactor::turn_result turn(const reactor::turn_budget& budget) override;
  [[nodiscard]] bool waiting() const noexcept override;
  void hung_up() override;

 private:
  struct turn_state;
  enum class step { more, empty, ended };

  bool prepare(turn_state& t);
  step lease_batch(turn_state& t);
  bool work_batch(turn_state& t);
  bool rare_event(turn_state& t);
  bool run_notices(turn_state& t);
  void finish(turn_state& t);
  void discard();
  void begin_pass(std::uint64_t pass) noexcept;

  endpoint& owner_;
  std::uint64_t sequence_ = 0;
  std::uint64_t pass_ = 0;       // the pass that pass_left_ belongs to
  std::uint32_t pass_left_ = 0;  // ring events that waited when it began and are still to be taken
  bool hung_up_ = false;
};

}  // namespace cpgring::runtime
