#include "textflag.h"

// func in8(port uint16) uint8
TEXT ·in8(SB),NOSPLIT,$0-5
	MOVWLZX	port+0(FP), DX
	INB
	MOVB	AX, ret+4(FP)
	RET

// func in16(port uint16) uint16
TEXT ·in16(SB),NOSPLIT,$0-6
	MOVWLZX	port+0(FP), DX
	INW
	MOVW	AX, ret+4(FP)
	RET

// func in32(port uint16) uint32
TEXT ·in32(SB),NOSPLIT,$0-8
	MOVWLZX	port+0(FP), DX
	INL
	MOVL	AX, ret+4(FP)
	RET

// func out8(port uint16, v uint8)
TEXT ·out8(SB),NOSPLIT,$0-3
	MOVWLZX	port+0(FP), DX
	MOVB	v+2(FP), AX
	OUTB
	RET

// func out16(port uint16, v uint16)
TEXT ·out16(SB),NOSPLIT,$0-4
	MOVWLZX	port+0(FP), DX
	MOVW	v+2(FP), AX
	OUTW
	RET

// func out32(port uint16, v uint32)
TEXT ·out32(SB),NOSPLIT,$0-8
	MOVWLZX	port+0(FP), DX
	MOVL	v+4(FP), AX
	OUTL
	RET
