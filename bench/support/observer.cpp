#include "support/observer.hpp"

#include "peers/libcpg_peer.hpp"

namespace cpgring::bench {

observer::observer()
    : process_(1, [this] {
        libcpg_peer peer("observer", 1);
        for (;;) {
          asked_.wait();
          // A message may overtake what is still in request rings: the service takes only a part of these in
          // each turn.
          for (int i = 0; i < 20; ++i) {
            send_retrying(peer, 0, "x");
            peer.take(1);
          }
          answered_.post();
        }
      }) {}

void observer::wait_for_the_service() {
  asked_.post();
  answered_.wait_for(1);
}

}  // namespace cpgring::bench
