#include "support/observer.hpp"

#include "peers/libcpg_peer.hpp"

namespace cpgring::bench {

observer::observer()
    : process_(1, [this] {
        libcpg_peer peer("observer", 1);
        for (;;) {
          asked_.wait();
          for (int i = 0; i < 20;
               ++i) {  // one may overtake what still lies in request rings; the service takes a part of these in each turn
            send_surely(peer, 0, "x");
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
