/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

#include "base/hash.h"
#include "cli/sim.h"

/* ---- who the hosts of the demo are ---- */

const char *const sim_products[SIM_PRODUCTS] = { "laptop", "kiosk", "edge-proxy" };

static const char *const sites[] = {
	"amsterdam",    "zurich",  "london-heathrow", "oslo",  "sydney", "atlanta",    "singapore",
	"denver-plant", "nairobi", "sao-paulo",       "osaka", "dublin", "store-0417", "store-0951",
};
static const char *const windows[] = { "10.0.22631.3880", "10.0.22631.3737", "10.0.19045.4651", "10.0.26100.1000" };
static const char *const debian[] = { "6.1.0-23-amd64", "6.1.0-21-amd64" };
static const char *const machines[] = { "x1-carbon", "latitude-7440", "elitebook-845" };

#define COUNT(list) (sizeof(list) / sizeof(*(list)))

void
sim_cast(uint64_t seed, unsigned host, struct sim_part *out)
{
	uint64_t h = hash_mix(seed * 31 + host);
	unsigned tenth = host % 10;

	/* Big sites and small ones: the lower the place in the list, the larger. */
	out->site = sites[h % 97 * (h / 97 % 97) * COUNT(sites) / 9409];
	out->os = "windows";
	out->os_build = windows[(h >> 20) % 7 < 4 ? 0 : (h >> 20) % 7 - 3];
	out->product = SIM_LAPTOP;
	out->version = "7.15.18513";
	out->hw_class = machines[(h >> 32) % COUNT(machines)];
	if (tenth == 7 || tenth == 8) {
		out->product = SIM_KIOSK;
		out->version = "3.2.1";
		out->hw_class = "kiosk-g2";
	} else if (tenth == 9) {
		out->product = SIM_EDGE;
		out->os = "linux";
		out->os_build = debian[(h >> 20) % COUNT(debian)];
		out->version = "24.7.0";
		out->hw_class = "edge-2u";
	}
}

/* ---- what crashes on any day ---- */

static const struct sim_crash ordinary[] = {
	{ SIM_LAPTOP, FAULTLINE_KIND_USER, "outlook.exe", "6684a1f0c2000", 0x1f2e40, "EXCEPTION_ACCESS_VIOLATION_READ",
	  0xc0000005 },
	{ SIM_LAPTOP, FAULTLINE_KIND_USER, "teams-media.dll", "665f0d1b84000", 0x3a910,
	  "EXCEPTION_ACCESS_VIOLATION_WRITE", 0xc0000005 },
	{ SIM_LAPTOP, FAULTLINE_KIND_USER, "chrome.dll", "66902b77d1ea000", 0x4be21c8, "EXCEPTION_BREAKPOINT",
	  0x80000003 },
	{ SIM_LAPTOP, FAULTLINE_KIND_USER, "excel.exe", "668e9c11460d000", 0x7712a0, "EXCEPTION_STACK_OVERFLOW",
	  0xc00000fd },
	{ SIM_LAPTOP, FAULTLINE_KIND_SERVICE, "printspool.dll", "63ab90d2c3000", 0x8c14,
	  "EXCEPTION_ACCESS_VIOLATION_READ", 0xc0000005 },
	{ SIM_LAPTOP, FAULTLINE_KIND_SERVICE, "vpn-agent.exe", "65f1d27a9e000", 0x2210c, "EXCEPTION_INT_DIVIDE_BY_ZERO",
	  0xc0000094 },
	{ SIM_LAPTOP, FAULTLINE_KIND_KERNEL, "nvlddmkm.sys", "666b1c2f3a71000", 0x19ac40, "VIDEO_TDR_FAILURE", 0x116 },
	{ SIM_LAPTOP, FAULTLINE_KIND_KERNEL, "netwtw14.sys", "65c2aa0f5c3000", 0x7e1b2, "DRIVER_IRQL_NOT_LESS_OR_EQUAL",
	  0xd1 },
	{ SIM_LAPTOP, FAULTLINE_KIND_BOOT_CRITICAL, "storahci.sys", "5f01dc3b34000", 0x4410, "INACCESSIBLE_BOOT_DEVICE",
	  0x7b },
	{ SIM_KIOSK, FAULTLINE_KIND_USER, "kiosk-ui.exe", "661fe0427a000", 0x1c0d8, "EXCEPTION_ACCESS_VIOLATION_READ",
	  0xc0000005 },
	{ SIM_KIOSK, FAULTLINE_KIND_SERVICE, "barcode.dll", "62a1b3051f000", 0x51f0, "EXCEPTION_ACCESS_VIOLATION_EXEC",
	  0xc0000005 },
	{ SIM_EDGE, FAULTLINE_KIND_SERVICE, "libproxy.so.4", "a1f7c02be9d05544", 0x21b40, "SIGSEGV /SEGV_MAPERR", 11 },
	{ SIM_EDGE, FAULTLINE_KIND_SERVICE, "libssl.so.3", "0c77ed19a0b1f3c2", 0x4d1e0, "SIGABRT", 6 },
	{ SIM_EDGE, FAULTLINE_KIND_USER, "log-shipper", "77ab01cd29e6f0b8", 0x9a31, "SIGBUS /BUS_ADRERR", 7 },
};

const struct sim_crash *
sim_ordinary(unsigned n)
{
	return n < COUNT(ordinary) ? &ordinary[n] : NULL;
}
