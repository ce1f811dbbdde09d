/*
 * Loaded into an unmodified bluetooth-meshd 5.66 (LD_PRELOAD), so that it runs without a radio and without
 * the kernel's AF_ALG sockets. Four things, each because of a fact of that version:
 *
 *  1. Crypto: ELL asks the kernel (AF_ALG) for AES. Where the kernel has none, the daemon waits for ever.
 *     l_cipher, l_checksum (CMAC) and l_aead_cipher (CCM) are replaced here. AES is written out because only
 *     the encryption of single blocks is needed: no header package, and no libcrypto in the memory of each daemon.
 *  2. Bearer out: mesh-io-unit.c calls send() on a socket that is not connected; here it goes to $MESHTWIN_AIR.
 *  3. Bearer in: mesh-io-unit.c gives on a length that is one too large; recv() says one less.
 *  4. Relay: before 5.84 a relayed PDU loses its NetMIC (fixed upstream by 2b0a6fa08), since net.c encrypts it
 *     in place with the length it has without the MIC. That call is recognised, the whole PDU is encrypted, and
 *     the bytes that the daemon cuts off are put back when it sends.
 *
 * Sources: FIPS 197 (AES), RFC 4493 (CMAC), RFC 3610 (CCM, 13 byte nonce); ELL 0.56 and BlueZ 5.66.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#define BLOCK 16
#define ROUNDS 10
#define NONCE 13
#define NETWORK_PDU 0x2a     /* AD type */
#define NETWORK_PAYLOAD 22   /* bytes of a network PDU behind its 7 byte header, NetMIC included */
#define SEND_HEADER 8        /* AD type and the obfuscated network header */
#define RELAYS_KEPT 256
#define NETWORK_NONCE 0x00   /* first byte of a network nonce */
#define FRAME_MIN 9          /* the daemon takes longer datagrams for PDUs */

/* --- AES-128, encryption only ------------------------------------------------------------------------- */

struct aes {
	uint8_t round_key[ROUNDS + 1][BLOCK];
};

static uint8_t sbox[256];

static uint8_t times_two(uint8_t x)
{
	return (uint8_t)(x << 1 ^ (x >> 7) * 0x1b);
}

static uint8_t rotated(uint8_t x, unsigned by)
{
	return (uint8_t)(x << by | x >> (8 - by));
}

/* The S-box from its definition: 3 generates the field, and the inverse of 3^n is 3^(255-n). */
__attribute__((constructor)) static void make_sbox(void)
{
	uint8_t power[256], x = 1;

	for (unsigned n = 0; n < 255; n++) {
		power[n] = x;
		x ^= times_two(x);
	}
	sbox[0] = 0x63;
	for (unsigned n = 0; n < 255; n++) {
		uint8_t b = power[(255 - n) % 255];

		sbox[power[n]] = b ^ rotated(b, 1) ^ rotated(b, 2) ^ rotated(b, 3) ^ rotated(b, 4) ^ 0x63;
	}
}

static void aes_init(struct aes *aes, const uint8_t *key)
{
	uint8_t *word = aes->round_key[0], constant = 1;

	memcpy(word, key, BLOCK);
	for (int i = BLOCK; i < (ROUNDS + 1) * BLOCK; i += 4) {
		uint8_t last[4] = { word[i - 4], word[i - 3], word[i - 2], word[i - 1] };

		if (i % BLOCK == 0) {
			uint8_t first = last[0];

			for (int j = 0; j < 3; j++)
				last[j] = sbox[last[j + 1]];
			last[3] = sbox[first];
			last[0] ^= constant;
			constant = times_two(constant);
		}
		for (int j = 0; j < 4; j++)
			word[i + j] = word[i + j - BLOCK] ^ last[j];
	}
}

static void add_key(uint8_t *state, const uint8_t *key)
{
	for (int i = 0; i < BLOCK; i++)
		state[i] ^= key[i];
}

static void mix_column(uint8_t *c)
{
	uint8_t all = c[0] ^ c[1] ^ c[2] ^ c[3], first = c[0];

	for (int i = 0; i < 4; i++) {
		uint8_t next = i == 3 ? first : c[i + 1];

		c[i] ^= all ^ times_two(c[i] ^ next);
	}
}

static void aes_block(const struct aes *aes, const uint8_t *in, uint8_t *out)
{
	uint8_t state[BLOCK], shifted[BLOCK];

	memcpy(state, in, BLOCK);
	add_key(state, aes->round_key[0]);
	for (int round = 1; round <= ROUNDS; round++) {
		for (int i = 0; i < BLOCK; i++)   /* column i / 4, row i % 4: rows move to the left by their number */
			shifted[i] = sbox[state[(i + 4 * (i % 4)) % BLOCK]];
		for (int c = 0; c < BLOCK && round < ROUNDS; c += 4)
			mix_column(shifted + c);
		memcpy(state, shifted, BLOCK);
		add_key(state, aes->round_key[round]);
	}
	memcpy(out, state, BLOCK);
}

/* --- ELL: l_cipher, ECB only -------------------------------------------------------------------------- */

void *l_cipher_new(int type, const void *key, size_t length)
{
	struct aes *aes = length == BLOCK ? malloc(sizeof(*aes)) : NULL;

	(void)type;
	if (aes)
		aes_init(aes, key);
	return aes;
}

void l_cipher_free(void *cipher)
{
	free(cipher);
}

bool l_cipher_encrypt(void *cipher, const void *in, void *out, size_t length)
{
	for (size_t at = 0; at + BLOCK <= length; at += BLOCK)
		aes_block(cipher, (const uint8_t *)in + at, (uint8_t *)out + at);
	return true;
}

/* --- ELL: l_checksum, AES-CMAC (RFC 4493) ------------------------------------------------------------- */

struct cmac {
	struct aes aes;
	uint8_t chain[BLOCK], held[BLOCK];   /* the last block is held back: it is treated otherwise */
	size_t held_size;
};

void *l_checksum_new_cmac_aes(const void *key, size_t length)
{
	struct cmac *mac = length == BLOCK ? calloc(1, sizeof(*mac)) : NULL;

	if (mac)
		aes_init(&mac->aes, key);
	return mac;
}

void l_checksum_free(struct cmac *mac)
{
	free(mac);
}

bool l_checksum_update(struct cmac *mac, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++) {
		if (mac->held_size == BLOCK) {
			add_key(mac->chain, mac->held);
			aes_block(&mac->aes, mac->chain, mac->chain);
			mac->held_size = 0;
		}
		mac->held[mac->held_size++] = bytes[i];
	}
	return true;
}

static void doubled(uint8_t *value)
{
	uint8_t carry = value[0] >> 7;

	for (int i = 0; i < BLOCK; i++)
		value[i] = (uint8_t)(value[i] << 1 | (i < BLOCK - 1 ? value[i + 1] >> 7 : 0));
	value[BLOCK - 1] ^= carry * 0x87;
}

ssize_t l_checksum_get_digest(struct cmac *mac, void *out, size_t size)
{
	uint8_t subkey[BLOCK] = { 0 };

	aes_block(&mac->aes, subkey, subkey);
	doubled(subkey);
	if (mac->held_size < BLOCK) {
		doubled(subkey);
		mac->held[mac->held_size] = 0x80;
		memset(mac->held + mac->held_size + 1, 0, BLOCK - 1 - mac->held_size);
	}
	add_key(mac->chain, mac->held);
	add_key(mac->chain, subkey);
	aes_block(&mac->aes, mac->chain, mac->chain);
	size = size < BLOCK ? size : BLOCK;
	memcpy(out, mac->chain, size);
	memset(mac->chain, 0, BLOCK);   /* a digest begins the checksum anew, as AF_ALG does */
	mac->held_size = 0;
	return (ssize_t)size;
}

/* --- ELL: l_aead_cipher, AES-CCM (RFC 3610) with a 13 byte nonce --------------------------------------- */

struct ccm {
	struct aes aes;
	size_t tag_size;
};

void *l_aead_cipher_new(int type, const void *key, size_t length, size_t tag_size)
{
	struct ccm *ccm = length == BLOCK ? malloc(sizeof(*ccm)) : NULL;

	(void)type;
	if (ccm) {
		aes_init(&ccm->aes, key);
		ccm->tag_size = tag_size;
	}
	return ccm;
}

void l_aead_cipher_free(void *ccm)
{
	free(ccm);
}

static void key_stream(const struct ccm *ccm, const uint8_t *nonce, size_t counter, uint8_t *out)
{
	uint8_t block[BLOCK] = { 1 };   /* flags: two bytes of length */

	memcpy(block + 1, nonce, NONCE);
	block[14] = (uint8_t)(counter >> 8);
	block[15] = (uint8_t)counter;
	aes_block(&ccm->aes, block, out);
}

static void apply_stream(const struct ccm *ccm, const uint8_t *nonce, const uint8_t *in, uint8_t *out, size_t size)
{
	uint8_t stream[BLOCK];

	for (size_t i = 0; i < size; i++) {
		if (i % BLOCK == 0)
			key_stream(ccm, nonce, 1 + i / BLOCK, stream);
		out[i] = in[i] ^ stream[i % BLOCK];
	}
}

static void absorb(const struct ccm *ccm, uint8_t *mac, size_t *at, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		mac[(*at)++] ^= data[i];
		if (*at == BLOCK) {
			aes_block(&ccm->aes, mac, mac);
			*at = 0;
		}
	}
}

static void close_block(const struct ccm *ccm, uint8_t *mac, size_t *at)
{
	if (*at)
		aes_block(&ccm->aes, mac, mac);
	*at = 0;
}

/* The encrypted tag over associated data and plain text. */
static void make_tag(const struct ccm *ccm, const uint8_t *nonce, const uint8_t *extra, size_t extra_size,
		     const uint8_t *plain, size_t size, uint8_t *tag)
{
	uint8_t mac[BLOCK] = { 0 }, stream[BLOCK];
	size_t at = 0;

	mac[0] = (uint8_t)((extra_size ? 0x40 : 0) | (ccm->tag_size - 2) / 2 << 3 | 1);
	memcpy(mac + 1, nonce, NONCE);
	mac[14] = (uint8_t)(size >> 8);
	mac[15] = (uint8_t)size;
	aes_block(&ccm->aes, mac, mac);
	if (extra_size) {
		uint8_t length[2] = { (uint8_t)(extra_size >> 8), (uint8_t)extra_size };

		absorb(ccm, mac, &at, length, sizeof(length));
		absorb(ccm, mac, &at, extra, extra_size);
		close_block(ccm, mac, &at);
	}
	absorb(ccm, mac, &at, plain, size);
	close_block(ccm, mac, &at);
	key_stream(ccm, nonce, 0, stream);
	for (size_t i = 0; i < ccm->tag_size; i++)
		tag[i] = mac[i] ^ stream[i];
}

static void seal(const struct ccm *ccm, const uint8_t *nonce, const uint8_t *extra, size_t extra_size,
		 const uint8_t *in, size_t size, uint8_t *out)
{
	uint8_t tag[BLOCK];

	make_tag(ccm, nonce, extra, extra_size, in, size, tag);
	apply_stream(ccm, nonce, in, out, size);
	memcpy(out + size, tag, ccm->tag_size);
}

/* --- Relayed PDUs: what the daemon would cut off -------------------------------------------------------- */

struct relayed {
	size_t size, tag_size;             /* of the payload without its NetMIC, and of the NetMIC */
	uint8_t sealed[NETWORK_PAYLOAD];   /* both */
};

static struct relayed relays[RELAYS_KEPT];
static unsigned relays_made;
static const uint8_t *opened_at;   /* the network PDU decrypted last: where, and how long */
static size_t opened_size;

/* A relay encrypts the PDU it has just decrypted, in place, with a length that is short by one NetMIC. */
static bool is_cut_relay(const struct ccm *ccm, const uint8_t *nonce, const void *in, const void *out, size_t size)
{
	return in == out && in == opened_at && nonce[0] == NETWORK_NONCE &&
	       (uint16_t)(size + ccm->tag_size) == opened_size && opened_size + ccm->tag_size <= NETWORK_PAYLOAD;
}

bool l_aead_cipher_encrypt(struct ccm *ccm, const void *in, size_t size, const void *extra, size_t extra_size,
			   const void *nonce, size_t nonce_size, void *out, size_t out_size)
{
	if (nonce_size != NONCE || out_size < size + ccm->tag_size)
		return false;
	if (is_cut_relay(ccm, nonce, in, out, size)) {
		struct relayed *relay = &relays[relays_made++ % RELAYS_KEPT];

		relay->size = opened_size;
		relay->tag_size = ccm->tag_size;
		opened_at = NULL;
		seal(ccm, nonce, extra, extra_size, in, relay->size, relay->sealed);
		memcpy(out, relay->sealed, relay->size + relay->tag_size);
		return true;
	}
	if (size > UINT16_MAX / 2)   /* a negative length of 16 bits */
		return false;
	seal(ccm, nonce, extra, extra_size, in, size, out);
	return true;
}

bool l_aead_cipher_decrypt(struct ccm *ccm, const void *in, size_t size, const void *extra, size_t extra_size,
			   const void *nonce, size_t nonce_size, void *out, size_t out_size)
{
	uint8_t plain[512], tag[BLOCK];   /* an access message has at most 384 bytes */
	size_t plain_size = size - ccm->tag_size;

	if (nonce_size != NONCE || size < ccm->tag_size || out_size < plain_size || plain_size > sizeof(plain))
		return false;
	apply_stream(ccm, nonce, in, plain, plain_size);
	make_tag(ccm, nonce, extra, extra_size, plain, plain_size, tag);
	if (memcmp(tag, (const uint8_t *)in + plain_size, ccm->tag_size) != 0)
		return false;
	memcpy(out, plain, plain_size);
	if (in == out && *(const uint8_t *)nonce == NETWORK_NONCE) {
		opened_at = out;
		opened_size = plain_size;
	}
	return true;
}

/* --- The bearer ----------------------------------------------------------------------------------------- */

static int bearer = -1;

/* The daemon binds one datagram socket: its bearer. It dies with the process that started it. */
int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	static int (*real)(int, const struct sockaddr *, socklen_t);
	int type = 0;
	socklen_t size = sizeof(type);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "bind");
	if (real(fd, address, length) < 0)
		return -1;
	if (address->sa_family == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
	    type == SOCK_DGRAM)
		bearer = fd;
	return 0;
}

static ssize_t send_to_air(const void *data, size_t size, int flags)
{
	struct sockaddr_un air = { .sun_family = AF_UNIX };
	const char *path = getenv("MESHTWIN_AIR");

	snprintf(air.sun_path, sizeof(air.sun_path), "%s", path ? path : "");
	return sendto(bearer, data, size, flags, (struct sockaddr *)&air, sizeof(air));
}

/* The relayed PDU whose beginning this is, the newest first; NULL: not a relayed one. */
static const struct relayed *find_relayed(const uint8_t *pdu, size_t size)
{
	if (size <= SEND_HEADER || pdu[0] != NETWORK_PDU)
		return NULL;
	for (unsigned back = 1; back <= RELAYS_KEPT; back++) {
		const struct relayed *relay = &relays[(relays_made - back) % RELAYS_KEPT];

		if (relay->size == size - SEND_HEADER && !memcmp(relay->sealed, pdu + SEND_HEADER, relay->size))
			return relay;
	}
	return NULL;
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
	static ssize_t (*real)(int, const void *, size_t, int);
	const struct relayed *relay;
	uint8_t whole[SEND_HEADER + NETWORK_PAYLOAD];

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "send");
	if (fd != bearer || fd < 0)
		return real(fd, data, size, flags);
	relay = find_relayed(data, size);
	if (!relay)
		return send_to_air(data, size, flags);
	memcpy(whole, data, size);
	memcpy(whole + size, relay->sealed + relay->size, relay->tag_size);
	return send_to_air(whole, size + relay->tag_size, flags) < 0 ? -1 : (ssize_t)size;
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
	ssize_t got = recvfrom(fd, data, size, flags, NULL, NULL);

	return fd == bearer && got > FRAME_MIN ? got - 1 : got;
}

/* In unit mode the daemon asks for SIGSEGV at its parent's death; SIGKILL leaves no core file. */
int prctl(int option, ...)
{
	static int (*real)(int, unsigned long, unsigned long, unsigned long, unsigned long);
	unsigned long argument;
	va_list arguments;

	va_start(arguments, option);
	argument = va_arg(arguments, unsigned long);
	va_end(arguments);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "prctl");
	return real(option, option == PR_SET_PDEATHSIG ? SIGKILL : argument, 0, 0, 0);
}
