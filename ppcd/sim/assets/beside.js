// The demo's page: the shop in a frame of its own, so that the phone beside it stays in reach
// while the payment page lies over the shop.

document.getElementById("shop").src = `/shop/${location.search}`;
// What the shop was called with is for the shop; a reload begins anew.
history.replaceState(null, "", "/");
