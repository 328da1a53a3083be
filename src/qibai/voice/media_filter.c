/* Preloaded into rtpengine: the kernel drops what comes to a port for media and is no RTP.
 *
 * rtpengine relays whatever a party sends, so a STUN, ZRTP or DTLS packet, a line of text or an RTCP report in
 * RTP's port would carry names and addresses to the other side. Each socket that is bound to one of the ports
 * QIBAI_MEDIA_PORTS (first-last) gets a filter (socket(7), SO_ATTACH_FILTER), which takes no privilege and costs
 * nothing that can be measured. It passes RTP of version 2 (RFC 3550) whose payload type is not one of 64 to 95,
 * which are RTCP's (RFC 5761).
 *
 * Each also gets a receive buffer that holds fewer than 50 packets: rtpengine reads at most 50 of them at once, and
 * if more are left five times, it reads that port no more. So after a halt of some seconds every call would stay mute.
 * What waits in the buffer is sound of at most a second; the kernel drops what comes later.
 *
 * No header of libc is needed to compile this: scripts/setup does, with cc or tcc.
 */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

struct filter_step {
    u16 code;
    u8 if_true, if_false;
    u32 value;
};
struct filter_program {
    u16 length;
    struct filter_step *steps;
};

extern void *dlsym(void *library, const char *name);
extern char *getenv(const char *name);
extern int getsockopt(int fd, int level, int name, void *value, u32 *size);
extern int setsockopt(int fd, int level, int name, const void *value, u32 size);
extern long write(int fd, const void *data, unsigned long size);

#define NEXT ((void *)-1L)
#define SOL_SOCKET 1
#define SO_TYPE 3
#define SO_RCVBUF 8
#define SO_ATTACH_FILTER 26
#define SOCK_DGRAM 2
#define AF_INET 2
#define AF_INET6 10

/* A packet begins with its UDP header, of 8 octets. */
#define LOAD_LENGTH 0x80
#define LOAD_OCTET 0x30
#define AND 0x54
#define IF_EQUAL 0x15
#define IF_AT_LEAST 0x35
#define RETURN 0x06

static struct filter_step only_rtp[] = {
    {LOAD_LENGTH, 0, 0, 0},
    {IF_AT_LEAST, 0, 8, 8 + 12},
    {LOAD_OCTET, 0, 0, 8},
    {AND, 0, 0, 0xc0},
    {IF_EQUAL, 0, 5, 0x80},
    {LOAD_OCTET, 0, 0, 9},
    {AND, 0, 0, 0x7f},
    {IF_AT_LEAST, 0, 1, 64},
    {IF_AT_LEAST, 0, 1, 96},
    {RETURN, 0, 0, 0xffffffff},
    {RETURN, 0, 0, 0},
};

/* The kernel counts some 770 octets for the smallest packet, and takes twice what it is given: 43 of them. */
static const u32 receive_buffer = 16384;

static u32 number(const char **text) {
    u32 read = 0;
    while (**text >= '0' && **text <= '9')
        read = read * 10 + (u32)(*(*text)++ - '0');
    return read;
}

static int is_media(int fd, const u8 *address) {
    const char *ports = getenv("QIBAI_MEDIA_PORTS");
    u32 first, last, port, type = 0, size = sizeof type;
    u16 family = *(const u16 *)address;

    if (!ports || (family != AF_INET && family != AF_INET6))
        return 0;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) || type != SOCK_DGRAM)
        return 0;
    port = (u32)address[2] << 8 | address[3];
    first = number(&ports);
    if (*ports++ != '-')
        return 0;
    last = number(&ports);
    return first <= port && port <= last;
}

int bind(int fd, const void *address, u32 size) {
    static int (*next)(int, const void *, u32);
    static const char fault[] = "media filter: a socket takes no filter\n";
    struct filter_program program = {sizeof only_rtp / sizeof *only_rtp, only_rtp};

    if (!next)
        next = (int (*)(int, const void *, u32))dlsym(NEXT, "bind");
    if (size >= 8 && is_media(fd, address)
            && (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program)
                || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer)))
        write(2, fault, sizeof fault - 1);
    return next(fd, address, size);
}
